"""Row 7. The only backend restarts and is away for two seconds."""

from __future__ import annotations

import contextlib
import functools
import random
import time

from ..backends import Backend
from ..load import Ask, Load, Plan
from ..proxies import STROPS, Bench, Setting, running
from ..report import Case, Line

TITLE = "The backend's own restart, 2 s away: what requests get in that time, and afterwards"
AWAY = 2.0
# While it is away nobody can do better than say so, or wait.
COMPARED = False


def cases(small: bool) -> list[Case]:
    after = 2.0 if small else 8.0
    return [
        Case("SIGTERM, 2 s away", functools.partial(_measure, after=after, wait=False)),
        Case("the same, retry.wait = 3s", functools.partial(_measure, after=after, wait=True), tuple(STROPS)),
    ]


def _ask(_: int, chance: random.Random) -> Ask:
    return Ask() if chance.random() < 0.7 else Ask(method="POST", body=b"x" * 200)


def _measure(name: str, bench: Bench, *, after: float, wait: bool) -> Line:
    if wait and not bench.strop.has_retry_wait:
        return Line(0, 0, note="this binary has no retry.wait")
    with contextlib.ExitStack() as stack:
        backend = Backend(bench.crew, bench.scratch, "uvicorn", hold=0.005)
        stack.callback(backend.stop)
        backend.start()
        more = 'retry = { wait = "3s" }' if wait else ""
        proxy = stack.enter_context(running(name, Setting((backend.address,), more=more), bench))
        load = stack.enter_context(Load(proxy.port, Plan(16, _ask, think=0.04)))
        time.sleep(1)
        gone = time.monotonic()
        backend.leave()
        time.sleep(max(0.0, gone + AWAY - time.monotonic()))
        backend.start()
        back = time.monotonic()
        time.sleep(after)
        tally = load.stop()
        away = tally.sent_within(gone, back)
        later = tally.sent_within(back, float("inf"))
        line = Line(away.count, away.failed, away.reasons())
        # Who asks for a breaker here wants it to refuse; but nobody is refused who could wait.
        if wait or name != "strop on":
            # A POST that the backend had when it left may have been carried out: nobody may repeat it.
            cut = away.method("POST").only(lambda each: each.reason == "connection_broken").count
            line.promised = later.failed == 0 and (away.failed == cut if wait else away.refused == 0)
        line.figures = {"failed afterwards": later.failed, "of": later.count, "refused afterwards": later.refused}
        slow = [each.done - each.sent for each in away.outcomes if not each.good]
        line.figures["slowest failure ms"] = round(1000 * max(slow, default=0.0))
        return line
