"""Row 5. One route that is broken, or one client whose requests all fail: what do the others notice?"""

from __future__ import annotations

import contextlib
import functools
import random
import time
from typing import Callable

from ..backends import Backend
from ..load import Ask, Load, Plan
from ..proxies import Bench, Setting, running
from ..report import Case, Line

TITLE = "A bad route, a bad client: failed requests of the others"
CLIENTS = 20
ROUTE = '\n[[routes]]\nname = "bad"\nprefix = "/bad"\nupstream = "backend"\n'


def cases(small: bool) -> list[Case]:
    seconds = 1.5 if small else 15.0
    both = (("a bad route at 30 %", _bad_route), ("a bad client", _bad_client))
    found = [(what, ask, count) for what, ask in both for count in (1, 3)]
    # With several endpoints the client is the lesser trial.
    return [_case(*each, seconds) for each in (found[:3] if small else found)]


def _case(what: str, ask: Callable[[int, random.Random], Ask], count: int, seconds: float) -> Case:
    name = f"{what}, {count} endpoint{'s' * (count > 1)}"
    return Case(name, functools.partial(_measure, ask=ask, count=count, seconds=seconds))


def _bad_route(number: int, chance: random.Random) -> Ask:
    """Each client has 30 % of its requests there."""
    fields = (("X-Forwarded-For", f"203.0.113.{number + 1}"),)
    if chance.random() < 0.3:
        return Ask("bad", path="/bad", fields=fields)
    return Ask("others", path="/good", fields=fields)


def _bad_client(number: int, _: random.Random) -> Ask:
    """Six connections of one address, which ask again after a few milliseconds."""
    if number < 6:
        return Ask("bad", path="/bad", fields=(("X-Forwarded-For", "203.0.113.250"),), think=0.004)
    fields = (("X-Forwarded-For", f"203.0.113.{number + 1}"),)
    return Ask("others", path="/good", fields=fields)


def _measure(name: str, bench: Bench, *, ask: Callable[[int, random.Random], Ask], count: int, seconds: float) -> Line:
    # The bad client's requests are on no route of their own.
    front = "trusted_hops = 1\n" + (ROUTE if ask is _bad_route else "")
    with contextlib.ExitStack() as stack:
        backends = [Backend(bench.crew, bench.scratch, "uvicorn") for _ in range(count)]
        for backend in backends:
            stack.callback(backend.stop)
            backend.start()
        setting = Setting(tuple(each.address for each in backends), front=front)
        proxy = stack.enter_context(running(name, setting, bench))
        load = stack.enter_context(Load(proxy.port, Plan(CLIENTS, ask, think=0.02)))
        time.sleep(seconds)
        tally = load.stop()
        bad = tally.by("bad")
        line = Line.of(tally.by("others"), refused=tally.by("others").refused)
        line.figures["the bad's own"] = bad.count
        line.figures["of them not tried"] = sum(not each.answered for each in bad.outcomes)
        return line
