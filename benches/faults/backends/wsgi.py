"""The application behind gunicorn; as asgi.py."""

from __future__ import annotations

import os
import time

HOLD = float(os.environ.get("HOLD", "0"))
BAD = os.environ.get("BAD") == "1"
NAME = os.environ.get("NAME", "?")


def app(environ, start_response):
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    if HOLD:
        time.sleep(HOLD)
    bad = BAD or environ["PATH_INFO"].startswith("/bad")
    status = "500 Internal Server Error" if bad else "200 OK"
    start_response(status, [("Content-Length", "3"), ("Content-Type", "text/plain"), ("X-Endpoint", NAME)])
    return [b"ok\n"]
