"""Row 8. One of three endpoints answers 500 to everything."""

from __future__ import annotations

import contextlib
import functools
import time

from ..backends import Backend
from ..load import Load, Plan
from ..proxies import Bench, Setting, running
from ..report import Case, Line

TITLE = "One of three endpoints always answers 500: its answers until it is out; who is refused"
# Nothing of it for so long is being out.
QUIET = 0.5
MOST = 10


def cases(small: bool) -> list[Case]:
    return [Case("uvicorn, 16 clients", functools.partial(_measure, seconds=3.0 if small else 15.0))]


def _measure(name: str, bench: Bench, *, seconds: float) -> Line:
    with contextlib.ExitStack() as stack:
        backends = [Backend(bench.crew, bench.scratch, "uvicorn", bad=number == 1) for number in range(3)]
        for backend in backends:
            stack.callback(backend.stop)
            backend.start()
        setting = Setting(tuple(each.address for each in backends))
        proxy = stack.enter_context(running(name, setting, bench))
        load = stack.enter_context(Load(proxy.port, Plan(16, think=0.02)))
        time.sleep(seconds)
        end = time.monotonic()
        tally = load.stop()
        bad = str(backends[1].port)
        its = sorted(each.done for each in tally.outcomes if each.endpoint == bad)
        line = Line.of(tally)
        first = until_out(its, end)
        line.figures = {"answers until out": first, "in all": len(its), "refused": tally.refused}
        line.promised = first <= MOST and tally.refused == 0
        return line


def until_out(answers: list[float], end: float) -> int:
    """How many came before the first pause that is long enough; all of them, where there is none."""
    for number, (one, next_one) in enumerate(zip(answers, [*answers[1:], end]), start=1):
        if next_one - one >= QUIET:
            return number
    return len(answers)
