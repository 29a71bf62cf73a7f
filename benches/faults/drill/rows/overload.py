"""Row 10. Strop's `ingress.concurrency`: what does it refuse on an ordinary day, and what is left at three times the capacity?"""

from __future__ import annotations

import contextlib
import functools
import time

from ..backends import Backend
from ..load import Ask, Load, OpenLoad, Plan, Stream
from ..proxies import Bench, Setting, running
from ..report import Case, Line
from ..tally import Tally

TITLE = "Too many requests: refused below the capacity; answers and the high class above it"
COMPARED = False
ON = 'concurrency = { mode = "on" }\n'
ROUTES = "".join(
    f'\n[[routes]]\nname = "{name}"\nprefix = "/{prefix}"\nupstream = "backend"\nclass = "{level}"\n'
    for name, prefix, level in (("high", "high", "high"), ("low", "low", "low"))
)
SLOW_ROUTE = '\n[[routes]]\nname = "slow"\nprefix = "/waits"\nupstream = "backend"\n'
# Of all requests of the overload.
CLASSES = {"high": 0.1, "normal": 0.6, "low": 0.3}
# 16 slots of 160 ms: 100 a second.
SLOTS, HOLD = 16, 0.160
CAPACITY = SLOTS / HOLD
# What came later than this is no answer any more.
IN_TIME = 1.0
COLD = 3.0


def cases(small: bool) -> list[Case]:
    strop = ("strop on",)
    ordinary = {
        "5 ms and 10 s, two routes, cold start": functools.partial(_mixed, routes=SLOW_ROUTE),
        "5 ms and 10 s, one route, cold start": functools.partial(_mixed, routes=""),
        "5 ms and 10 s, deploy": _deploy,
    }
    overload = functools.partial(_overload, seconds=6.0 if small else 30.0)
    found = [Case(name, measure, strop) for name, measure in ordinary.items()]
    return [*found, Case("three times the capacity", overload, ("strop on", "strop off", "haproxy", "envoy"))]


def _day() -> list[Stream]:
    return [Stream(Ask("quick", path="/quick"), 150.0), Stream(Ask("slow", path="/waits/10000"), 10.0)]


def _ordinary(tally: Tally) -> Line:
    refused = tally.only(lambda each: each.reason == "overloaded")
    line = Line.of(tally, None, refused=refused.count)
    line.promised = refused.count == 0 and tally.count > 0
    return line


def _mixed(name: str, bench: Bench, *, routes: str) -> Line:
    """Proxy and backend start together, at full rate, and the backend's caches are cold."""
    with contextlib.ExitStack() as stack:
        backend = Backend(bench.crew, bench.scratch, "uvicorn", hold=0.005, slots=SLOTS, cold=COLD)
        stack.callback(backend.stop)
        backend.start()
        proxy = stack.enter_context(running(name, Setting((backend.address,), front=ON + routes), bench))
        load = stack.enter_context(OpenLoad(proxy.port, _day()))
        time.sleep(25)
        return _ordinary(load.stop())


def _deploy(name: str, bench: Bench) -> Line:
    """Two endpoints, one restarted after the other, each with cold caches."""
    with contextlib.ExitStack() as stack:
        backends = [
            Backend(bench.crew, bench.scratch, "uvicorn", hold=0.005, slots=SLOTS, cold=COLD) for _ in range(2)
        ]
        for backend in backends:
            stack.callback(backend.stop)
            backend.start()
        addresses = tuple(each.address for each in backends)
        proxy = stack.enter_context(running(name, Setting(addresses, front=ON + SLOW_ROUTE), bench))
        load = stack.enter_context(OpenLoad(proxy.port, _day()))
        time.sleep(12)
        for backend in backends:
            backend.leave()
            time.sleep(1)
            backend.start()
            time.sleep(6)
        return _ordinary(load.stop())


def _overload(name: str, bench: Bench, *, seconds: float) -> Line:
    with contextlib.ExitStack() as stack:
        backend = Backend(bench.crew, bench.scratch, "uvicorn", hold=HOLD, slots=SLOTS)
        stack.callback(backend.stop)
        backend.start()
        mode = ON if name == "strop on" else ""
        setting = Setting((backend.address,), front=mode + ROUTES, slots=SLOTS, pool=512)
        proxy = stack.enter_context(running(name, setting, bench))
        half = _asked(proxy.port, 0.5, max(seconds / 2, 5.0))
        # As many clients as slots, which never wait: the most that it can do.
        peak_load = stack.enter_context(Load(proxy.port, Plan(2 * SLOTS, think=0.0)))
        time.sleep(5)
        peak = _good(peak_load.stop()) / 5
        above = _asked(proxy.port, 3.0, seconds + 3)
        began = min(each.sent for each in above.outcomes)
        # The first seconds show how fast it is seen; they are told apart.
        first, steady = above.sent_within(began, began + 3), above.sent_within(began + 3, began + 3 + seconds)
        figures = {
            "peak/s": peak, "good/s": _good(steady) / seconds, "share of peak": _good(steady) / seconds / peak,
            "good/s of the first 3 s": _good(first) / 3, "high p99 ms at half": _p99(half.by("high")),
            "high p99 ms": _p99(steady.by("high")),
        }
        figures |= {f"{who} answered %": _share(steady.by(who)) for who in CLASSES}
        figures = {what: round(figure, 2) for what, figure in figures.items()}
        line = Line.of(steady, None, **figures)
        if name == "strop on":
            kept = figures["share of peak"] >= 0.9
            line.promised = kept and figures["high p99 ms"] <= 3 * figures["high p99 ms at half"]
        return line


def _asked(port: int, times: float, seconds: float) -> Tally:
    streams = [Stream(Ask(who, path=f"/{who}"), CAPACITY * times * part) for who, part in CLASSES.items()]
    with OpenLoad(port, streams, patience=10.0) as load:
        time.sleep(seconds)
        return load.stop()


def _good(tally: Tally) -> int:
    return sum(each.good and each.done - each.sent <= IN_TIME for each in tally.outcomes)


def _share(tally: Tally) -> float:
    return 100 * _good(tally) / max(tally.count, 1)


def _p99(tally: Tally) -> float:
    took = sorted(1_000 * (each.done - each.sent) for each in tally.outcomes if each.good)
    return took[len(took) * 99 // 100] if took else 0.0
