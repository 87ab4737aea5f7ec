# The ten lines that a user with a WebSocket library and without `ddp` would write: one call and its result.
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
