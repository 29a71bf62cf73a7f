"""A WebSocket server on a port of the loopback that the kernel picks: the first line says which.

Echoes what it is told, but for a few words that it acts upon.
"""

import asyncio

from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

closed = []
one_more = asyncio.Condition()


async def fragments():
    for part in ["a message ", "in ", "three frames"]:
        yield part


async def act(websocket, message):
    if message == "fragments, please":
        await websocket.send(fragments())
    elif message == "ping me":
        await (await websocket.ping(b"are you there?"))
        await websocket.send("you are there")
    elif message == "close me":
        await websocket.close(4002, "as you wish")
    elif isinstance(message, str) and message.startswith("closed: "):
        # Tells how connections ended, as soon as that many have.
        async with one_more:
            await one_more.wait_for(lambda: len(closed) >= int(message.removeprefix("closed: ")))
        await websocket.send(repr(closed))
    else:
        await websocket.send(message)


async def talk(websocket):
    try:
        async for message in websocket:
            await act(websocket, message)
    except ConnectionClosed:
        pass
    async with one_more:
        closed.append((int(websocket.close_code), websocket.close_reason))
        one_more.notify_all()


async def main():
    async with serve(talk, "127.0.0.1", 0, subprotocols=["chat"], max_size=1 << 24) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


asyncio.run(main())
