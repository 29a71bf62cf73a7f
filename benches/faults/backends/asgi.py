"""The application behind uvicorn and hypercorn. `/bad…` answers 500; with BAD=1 everything does.

HOLD is how long an answer takes, in seconds. Every answer names its endpoint, so that a client can tell it from a
proxy's.
"""

from __future__ import annotations

import asyncio
import os

HOLD = float(os.environ.get("HOLD", "0"))
BAD = os.environ.get("BAD") == "1"
NAME = os.environ.get("NAME", "?").encode()


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    assert scope["type"] == "http"
    while True:
        event = await receive()
        if event["type"] == "http.disconnect" or not event.get("more_body"):
            break
    if HOLD:
        await asyncio.sleep(HOLD)
    status = 500 if BAD or scope["path"].startswith("/bad") else 200
    headers = [(b"content-length", b"3"), (b"content-type", b"text/plain"), (b"x-endpoint", NAME)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok\n"})


async def lifespan(receive, send):
    while True:
        event = await receive()
        await send({"type": event["type"] + ".complete"})
        if event["type"] == "lifespan.shutdown":
            return
