"""Row 1. A rolling deploy: endpoints go and come back one at a time, so that another one is always there."""

from __future__ import annotations

import contextlib
import functools
import signal
import time

from ..backends import Backend
from ..load import Load, Plan
from ..proxies import Bench, Setting, running
from ..report import Case, Line

TITLE = "Rolling deploy, one endpoint at a time: failed GETs, but those whose answer had begun"
HOW = {"SIGTERM": signal.SIGTERM, "kill -9": signal.SIGKILL}
# Seconds that an endpoint is not there, at most.
AWAY = 1.5


def cases(small: bool) -> list[Case]:
    if small:
        return [_case(2, 16, "SIGTERM", 0.4), _case(3, 64, "kill -9", 0.4)]
    quick = [
        _case(count, clients, how, 1.5) for count in (2, 3, 5) for clients in (16, 256) for how in HOW
    ]
    # So far apart that nginx' fail_timeout (10 s) and Envoy's ejection (30 s) are over before the next one goes.
    return quick + [_case(2, 16, how, 32) for how in HOW]


def _case(count: int, clients: int, how: str, apart: float) -> Case:
    name = f"{count} endpoints, {clients} clients, {how}" + (f", {apart:g} s apart" if apart > 2 else "")
    return Case(name, functools.partial(_measure, count=count, clients=clients, how=HOW[how], apart=apart))


def _measure(name: str, bench: Bench, *, count: int, clients: int, how: signal.Signals, apart: float) -> Line:
    with contextlib.ExitStack() as stack:
        backends = [Backend(bench.crew, bench.scratch, "uvicorn", hold=0.005) for _ in range(count)]
        for backend in backends:
            stack.callback(backend.stop)
            backend.start()
        setting = Setting(tuple(each.address for each in backends))
        proxy = stack.enter_context(running(name, setting, bench))
        # About 500 and 1,500 requests a second: enough to meet every moment, and not the machine's limit.
        load = stack.enter_context(Load(proxy.port, Plan(clients, think=clients / 1500 if clients > 16 else 0.025)))
        away = min(apart, AWAY)
        time.sleep(away)
        for backend in backends:
            backend.leave(how)
            time.sleep(away)
            backend.start()
            time.sleep(apart)
        return Line.of(load.stop())
