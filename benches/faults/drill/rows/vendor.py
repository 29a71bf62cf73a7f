"""Row 6. A vendor is down, and comes back: when the breaker opens, whom its probes cost, when it closes.

Its failures are the vendor's: what is counted as failed are requests sent after the vendor was well again. `strop off`
and the peers call it all the time.
"""

from __future__ import annotations

import contextlib
import functools
import json
import random
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass, field

from harness.processes import eventually, listens

from ..backends import ALL_CORES, APPS, python
from ..load import Ask, Load, Plan
from ..ports import low_ports
from ..proxies import Bench, Running, Setting, running
from ..report import Case, Line
from ..tally import Tally

TITLE = "A vendor is down and comes back: what reaches it, whose requests are probes, when it is closed again"
# That it is down is no failure of a proxy.
COMPARED = False
SUCCESSES = 2
# Between a request's start here and its arrival there; and between two looks at the state.
SLACK = 0.05


@dataclass(frozen=True)
class Outage:
    """`before`, `during` and `after` are the vendor's modes; times in seconds."""

    during: str
    seconds: float
    open_for: float
    before: str = "good"
    after: str = "good"
    posts: bool = False
    first_byte: int = 30
    slow_after: float = 0.0
    clients: int = 4


def cases(small: bool) -> list[Case]:
    seconds, wait = (8.0, 1.0) if small else (60.0, 30.0)
    usual = [
        ("refused", Outage("refused", seconds, wait)), ("reset", Outage("reset", seconds, wait)),
        ("500", Outage("500", seconds, wait)), ("hang", Outage("hang", seconds, wait, first_byte=2)),
        ("slow", Outage("slow", seconds, wait, slow_after=1.0, clients=12)),
        ("500, only POSTs with bodies", Outage("500", seconds, wait, posts=True)),
        ("refused, only POSTs with bodies", Outage("refused", seconds, wait, posts=True)),
        ("500, usual 100 ms, back at 6 s", Outage("500", seconds, max(wait / 3, 2.0), before="usual", after="back")),
    ]
    return [Case(name, functools.partial(_measure, outage=outage)) for name, outage in usual]


class Vendor:
    def __init__(self, bench: Bench, stack: contextlib.ExitStack) -> None:
        self.port, self._control = low_ports(2)
        argv = [python(), str(APPS / "vendor.py"), str(self.port), str(self._control)]
        process = bench.crew.start(argv, ALL_CORES, subprocess.DEVNULL, bench.scratch / "vendor.err")
        stack.callback(bench.crew.stop, process, patience=0.2)
        eventually("the vendor listens", lambda: listens(self._control) and listens(self.port), seconds=10)

    def told(self, mode: str = "") -> dict:
        """Behaves so from now on; what it has seen until then."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._control}/{mode}", timeout=10) as answer:
            return json.load(answer)


@dataclass
class Watch:
    """The breaker's states by time, as far as one look in `SLACK` shows them."""

    proxy: Running
    seen: list[tuple[float, str]] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Watch":
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(10)

    def _look(self) -> None:
        api = self.proxy.api
        while api is not None and not self._over.wait(SLACK):
            with contextlib.suppress(OSError):
                state = api.state()
                if not self.seen or self.seen[-1][1] != state:
                    self.seen.append((time.monotonic(), state))

    def state(self) -> str:
        return self.seen[-1][1] if self.seen else ""

    def first(self, state: str, after: float) -> float | None:
        """When it was first seen in that state: at once, if it already was."""
        was = ""
        for at, each in self.seen:
            if at >= after:
                if was == state:
                    return after
                if each == state:
                    return at
            was = each
        return after if was == state else None


def _ask(_: int, __: random.Random, *, posts: bool) -> Ask:
    return Ask(method="POST", body=b"x" * 400) if posts else Ask()


def _measure(name: str, bench: Bench, *, outage: Outage) -> Line:
    with contextlib.ExitStack() as stack:
        vendor = Vendor(bench, stack)
        proxy = stack.enter_context(running(name, _setting(vendor, outage), bench))
        vendor.told(outage.before)
        watch = stack.enter_context(Watch(proxy))
        plan = Plan(outage.clients, functools.partial(_ask, posts=outage.posts), think=0.1)
        load = stack.enter_context(Load(proxy.port, plan))
        time.sleep(2)
        vendor.told(outage.during)
        down = time.monotonic()
        time.sleep(outage.seconds)
        half_opened = proxy.api.transitions().get("half_open", 0) if proxy.api else None
        seen = vendor.told(outage.after)
        back = time.monotonic()
        _until_closed(watch, proxy, outage)
        return _line(load.stop(), seen, watch, (down, back), half_opened)


def _setting(vendor: Vendor, outage: Outage) -> Setting:
    breaker = [("failures", "3"), ("open_for", f'"{outage.open_for:g}s"'), ("successes", str(SUCCESSES))]
    more = ""
    if outage.slow_after:
        breaker += [("slow_rate", '"50%"'), ("min_requests", "5"), ("window", '"4s"')]
        more = f'judge = {{ slow_after = "{outage.slow_after:g}s" }}'
    return Setting(
        (f"127.0.0.1:{vendor.port}",), vendor=True, first_byte=outage.first_byte, breaker=tuple(breaker), more=more
    )


def _until_closed(watch: Watch, proxy: Running, outage: Outage) -> None:
    """As long as three waits take, each 1.5 times the one before and up to a fifth longer, from where they are now."""
    wait = outage.open_for
    down = outage.seconds
    while down > 0:
        down -= wait
        wait *= 1.5
    end = time.monotonic() + (1.2 * (wait + 1.5 * wait + 2.25 * wait) + 20 if proxy.api else 8)
    while time.monotonic() < end:
        time.sleep(0.1)
        if proxy.api is not None and watch.state() == "closed":
            break
    # What comes afterwards must go well.
    time.sleep(2)


def _line(
    tally: Tally, seen: dict, watch: Watch, outage: tuple[float, float], half_opened: int | None
) -> Line:
    down, back = outage
    during, later = tally.sent_within(down, back), tally.sent_within(back, float("inf"))
    line = Line(later.count, later.failed, later.reasons())
    opened = watch.first("open", down)
    figures = line.figures
    figures["requests while down"] = during.count
    figures["reached it"] = sum(at >= down for at, *_ in seen["requests"])
    if opened is None or opened > back or not half_opened:
        if watch.proxy.name == "strop on":
            line.note = "never opened" if opened is None or opened > back else "never half-open while it was down"
            line.promised = opened is not None and opened < back
        return line
    # What was on its way when it opened is no probe.
    probes = [each for each in during.outcomes if each.sent > opened and not each.refused]
    reached = sum(opened + SLACK < at < back for at, *_ in seen["requests"])
    figures["opened after s"] = round(opened - down, 2)
    figures["failed before"] = during.only(lambda each: each.sent <= opened).failed
    figures["half-open"] = half_opened
    figures["users' probes"] = len(probes)
    figures["reached while open"] = max(0, reached - half_opened)
    closed = watch.first("closed", back)
    if closed is not None:
        figures["closed after s"] = round(closed - back, 2)
        figures["tried until closed"] = later.only(lambda each: each.sent < closed and not each.refused).count
    else:
        line.note = "not closed again within three waits"
    line.promised = closed is not None and len(probes) <= half_opened and reached <= half_opened
    return line
