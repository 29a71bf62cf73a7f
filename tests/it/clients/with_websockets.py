"""A WebSocket client. Usage: with_websockets.py URI [PROXY]"""

import asyncio
import sys

# Not websockets.sync: over TLS, one in some hundred of its handshakes hangs, with any server.
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from told import parts, pattern

uri = sys.argv[1]
proxy = sys.argv[2] if len(sys.argv) > 2 else None


def dial(**more):
    # `proxy=None`: not even when the environment names one.
    return connect(uri, proxy=proxy, subprotocols=["chat"], max_size=1 << 24, **more)


async def echoed(websocket, message, expected=None):
    await websocket.send(message)
    answer = await websocket.recv()
    expected = message if expected is None else expected
    assert answer == expected, f"{answer[:200]!r} instead of {expected[:200]!r}"


async def talk(websocket):
    assert websocket.subprotocol == "chat", websocket.subprotocol
    await echoed(websocket, "ünïcödé ☃")
    await echoed(websocket, "")
    await echoed(websocket, bytes(range(256)))
    # Each length is written in another way: 7, 16 and 64 bits.
    for size in (125, 126, 65_535, 65_536, 4 << 20):
        await echoed(websocket, pattern(size))
    # One message in many frames, both ways.
    body = pattern(100_000)
    await echoed(websocket, parts(body), body)
    await echoed(websocket, "fragments, please", "a message in three frames")
    # Pings, both ways.
    await (await websocket.ping(b"and you?"))
    await echoed(websocket, "ping me", "you are there")
    # Many messages before the first is read.
    for number in range(500):
        await websocket.send(f"message {number}")
    for number in range(500):
        assert await websocket.recv() == f"message {number}"


# How the connections end, as the server sees it.
ENDS = [(4001, "farewell"), (1000, ""), (4002, "as you wish"), (1006, "")]


async def ended(websocket, count):
    """The server has seen so many ends, so that none can overtake another."""
    await echoed(websocket, f"closed: {count}", repr(ENDS[:count]))


async def main():
    # Compressed frames, and plain ones.
    async with dial() as websocket:
        assert [one.name for one in websocket.protocol.extensions] == ["permessage-deflate"]
        await talk(websocket)
        await websocket.close(4001, "farewell")
    async with dial(compression=None) as websocket:
        assert not websocket.protocol.extensions
        await ended(websocket, 1)
        await talk(websocket)

    # The server hangs up.
    async with dial() as websocket:
        await ended(websocket, 2)
        await websocket.send("close me")
        try:
            await websocket.recv()
            sys.exit("the server was to hang up")
        except ConnectionClosed as error:
            assert (error.rcvd.code, error.rcvd.reason) == (4002, "as you wish"), error

    # We are torn away.
    async with dial() as websocket:
        await ended(websocket, 3)
        await echoed(websocket, "still here")
        websocket.transport.abort()

    async with dial() as websocket:
        await ended(websocket, 4)


asyncio.run(asyncio.wait_for(main(), 15))
