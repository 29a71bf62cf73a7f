"""Row 9. What is short is the proxy's own: descriptors, time, memory. Nobody else is to blame for it."""

from __future__ import annotations

import contextlib
import functools
import os
import random
import resource
import signal
import time
from pathlib import Path

from harness.meter import family

from ..backends import Backend
from ..load import Ask, Load, Plan
from ..proxies import Bench, Running, Setting, running
from ..report import Case, Line
from ..tally import Tally

TITLE = "The proxy's own shortage: verdicts against the backend; failed requests once it is over"


def cases(small: bool) -> list[Case]:
    return [
        Case("descriptors exhausted", functools.partial(_descriptors, seconds=2.0 if small else 10.0)),
        Case(f"stopped for {3 if small else 75} s", functools.partial(_stopped, seconds=3.0 if small else 75.0)),
        Case("memory short", functools.partial(_memory, seconds=2.0 if small else 10.0)),
    ]


def _line(proxy: Running, within: Tally, after: Tally) -> Line:
    """Failures are those of requests sent when the shortage was over; what happened within is told beside them."""
    line = Line(after.count, after.failed, after.reasons())
    line.figures = {"failed within": within.failed, "of": within.count}
    if proxy.process.poll() is not None:
        line.note = f"the process ended with {proxy.process.returncode}"
        line.promised = False
    elif proxy.api is not None:
        against = proxy.api.against()
        line.figures["verdicts against"] = sum(against.values())
        state = proxy.api.state()
        said = [f"{count} {kind}" for kind, count in against.items()]
        said += [f"{count} {kind}, nobody's" for kind, count in proxy.api.nobodys().items()]
        line.note = ", ".join([*said, *([f"breaker {state}"] if state != "closed" else [])])
        line.promised = not against and state == "closed" and after.failed == 0
    return line


def _descriptors(name: str, bench: Bench, *, seconds: float) -> Line:
    """A dozen more than it has; then 64 clients. The limit is lifted again afterwards."""
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(_backend(bench, hold=0.02))
        proxy = stack.enter_context(running(name, Setting((backend.address,)), bench))
        pids = family(proxy.process.pid)
        before = {pid: resource.prlimit(pid, resource.RLIMIT_NOFILE) for pid in pids}
        for pid in pids:
            has = max(int(each) for each in os.listdir(f"/proc/{pid}/fd"))
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (has + 13, before[pid][1]))
        # Some connections come and go, so that there is a free one now for a client, now for the backend.
        load = stack.enter_context(Load(proxy.port, Plan(64, _comes_and_goes, think=0.01, patience=5)))
        time.sleep(seconds)
        for pid, limits in before.items():
            resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        within = load.stop()
        return _line(proxy, within, _well(proxy))


def _comes_and_goes(_: int, chance: random.Random) -> Ask:
    return Ask(fields=(("Connection", "close"),)) if chance.random() < 0.3 else Ask()


def _stopped(name: str, bench: Bench, *, seconds: float) -> Line:
    """With requests in flight whose time is over when it goes on, and whose answers have long been there."""
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(_backend(bench, hold=0.3))
        first_byte = 2 if seconds < 10 else 60
        setting = Setting((backend.address,), first_byte=first_byte)
        proxy = stack.enter_context(running(name, setting, bench))
        load = stack.enter_context(Load(proxy.port, Plan(16, think=0.05, patience=seconds + 30)))
        time.sleep(1)
        pids = family(proxy.process.pid)
        try:
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(seconds)
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
        over = time.monotonic()
        time.sleep(2)
        tally = load.stop()
        return _line(proxy, tally.sent_within(0, over), tally.sent_within(over, float("inf")))


def _memory(name: str, bench: Bench, *, seconds: float) -> Line:
    """Its address space may grow by 2 MiB; then 128 clients send bodies of 256 KiB."""
    with contextlib.ExitStack() as stack:
        backend = stack.enter_context(_backend(bench, hold=0.05))
        proxy = stack.enter_context(running(name, Setting((backend.address,)), bench))
        limits = {}
        with Load(proxy.port, Plan(16)) as warm:
            time.sleep(0.5)
            warm.stop()
        for pid in family(proxy.process.pid):
            limits[pid] = resource.prlimit(pid, resource.RLIMIT_AS)
            resource.prlimit(pid, resource.RLIMIT_AS, (_address_space(pid) + (2 << 20), limits[pid][1]))
        plan = Plan(128, lambda _n, _c: Ask(method="POST", body=b"x" * (256 << 10)), think=0.1, patience=10)
        load = stack.enter_context(Load(proxy.port, plan))
        time.sleep(seconds)
        within = load.stop()
        for pid, before in limits.items():
            with contextlib.suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_AS, before)
        return _line(proxy, within, _well(proxy))


def _address_space(pid: int) -> int:
    pages = Path(f"/proc/{pid}/statm").read_text().split()[0]
    return int(pages) * resource.getpagesize()


@contextlib.contextmanager
def _backend(bench: Bench, hold: float):
    backend = Backend(bench.crew, bench.scratch, "uvicorn", hold=hold)
    try:
        yield backend.start()
    finally:
        backend.stop()


def _well(proxy: Running) -> Tally:
    """What a few clients get once nothing is short any more."""
    time.sleep(0.5)
    with Load(proxy.port, Plan(8, think=0.02)) as load:
        time.sleep(1.5)
        return load.stop()
