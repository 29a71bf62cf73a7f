"""Row 3. Connections that the server ends in good order: nginx after 50 requests, grpcio after a time."""

from __future__ import annotations

import contextlib
import functools
import random
import time

from ..backends import Backend
from ..http2 import Calls
from ..load import Ask, Load, Plan
from ..proxies import Bench, Setting, running
from ..report import Case, Line

TITLE = "The server ends connections in good order: failed GETs and small POSTs"


def cases(small: bool) -> list[Case]:
    seconds = 2.0 if small else 10.0
    goaway = [
        Case("nginx over HTTP/2, 50 requests", functools.partial(_web, http2=True, seconds=seconds)),
        Case("grpcio, max_connection_age 0.5 s", functools.partial(_grpc, seconds=seconds)),
    ]
    plain = Case("nginx over HTTP/1.1, 50 requests", functools.partial(_web, http2=False, seconds=seconds))
    return goaway if small else [*goaway, plain]


def _ask(_: int, chance: random.Random) -> Ask:
    return Ask() if chance.random() < 0.5 else Ask(method="POST", body=b"x" * 200)


def _web(name: str, bench: Bench, *, http2: bool, seconds: float) -> Line:
    # This nginx speaks HTTP/2 to a backend as gRPC alone.
    upstream = ("grpc" if name == "nginx" else "h2") if http2 else "h1"
    with contextlib.ExitStack() as stack:
        backend = Backend(bench.crew, bench.scratch, "nginx", requests=50, http2=http2)
        stack.callback(backend.stop)
        backend.start()
        setting = Setting((backend.address,), upstream=upstream)
        proxy = stack.enter_context(running(name, setting, bench))
        load = stack.enter_context(Load(proxy.port, Plan(32, _ask, think=0.01)))
        time.sleep(seconds)
        tally = load.stop()
        posts = tally.method("POST")
        return Line.of(tally, failed_POSTs=posts.failed)


def _grpc(name: str, bench: Bench, *, seconds: float) -> Line:
    with contextlib.ExitStack() as stack:
        backend = Backend(bench.crew, bench.scratch, "grpc", age=500)
        stack.callback(backend.stop)
        backend.start()
        setting = Setting((backend.address,), upstream="grpc", listener="h2")
        proxy = stack.enter_context(running(name, setting, bench))
        calls = stack.enter_context(Calls(proxy.port, connections=4, streams=8, think=0.01))
        time.sleep(seconds)
        return Line.of(calls.stop())
