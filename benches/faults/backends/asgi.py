"""The application behind uvicorn and hypercorn. `/bad…` answers 500; with BAD=1 everything does.

HOLD is how long an answer takes, in seconds. With SLOTS it takes that in one of so many slots, and the others wait in a
queue; `/waits/MS` waits for somebody else instead, in no slot. For COLD seconds after the start HOLD is three times as
long, as with cold caches. Every answer names its endpoint, so that a client can tell it from a
proxy's.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time

HOLD = float(os.environ.get("HOLD", "0"))
BAD = os.environ.get("BAD") == "1"
NAME = os.environ.get("NAME", "?").encode()
SLOTS = asyncio.Semaphore(int(os.environ["SLOTS"])) if os.environ.get("SLOTS", "0") != "0" else contextlib.nullcontext()
WARM_AT = time.monotonic() + float(os.environ.get("COLD", "0"))


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    assert scope["type"] == "http"
    while True:
        event = await receive()
        if event["type"] == "http.disconnect" or not event.get("more_body"):
            break
    slow = 3 if time.monotonic() < WARM_AT else 1
    if scope["path"].startswith("/waits/"):
        await asyncio.sleep(int(scope["path"].rsplit("/", 1)[1]) / 1_000)
    elif HOLD:
        async with SLOTS:
            await asyncio.sleep(HOLD * slow)
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
