"""A proxy that makes a server distant: `python -m tests.benchmarks.distant PORT` delays each direction by 50 ms.

It prints `LISTENING port`, and ends when its standard input ends. Connections to the proxy are local, so the round trip of TCP is
not included.
"""

from __future__ import annotations

import asyncio
import sys

__all__ = ["DELAY"]

#: Seconds in each direction.
DELAY = 0.05


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    try:
        while data := await reader.read(1 << 16):
            loop.call_later(DELAY, writer.write, data)
    except OSError:
        pass
    finally:
        loop.call_later(DELAY, writer.close)


async def _serve(port: int) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        their_reader, their_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pass_on(reader, their_writer), _pass_on(their_reader, writer))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    print("LISTENING", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
