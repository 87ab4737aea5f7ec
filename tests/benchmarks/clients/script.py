# The ten lines that somebody writes who has a WebSocket library and no `ddp`: a call, its result, the end.
import json
import sys

import websocket

ws = websocket.create_connection(sys.argv[1])
ws.send(json.dumps({"msg": "connect", "version": "1", "support": ["1"]}))
ws.send(json.dumps({"msg": "method", "id": "1", "method": "upper", "params": ["Hello"]}))
while (message := json.loads(ws.recv())).get("msg") != "result":
    pass
print(json.dumps(message["result"]))
ws.close()
