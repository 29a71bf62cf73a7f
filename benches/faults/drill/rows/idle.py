"""Row 2. Servers that close a connection after a second of idleness, and clients that are due at that very moment."""

from __future__ import annotations

import contextlib
import functools
import statistics

from ..backends import WEB, Backend
from ..proxies import Bench, Setting, running
from ..race import Race, closes_after
from ..report import Case, Line

TITLE = "Keep-alive race: the server closes after 1 s, 256 clients are due within ±5 ms of it"
CLIENTS = 256
SPREAD = 0.005


def cases(small: bool) -> list[Case]:
    # 5,120 GETs, and 2,048 POSTs in each of three runs.
    rounds = 2 if small else 20
    gets = [Case(f"GET, {kind}", functools.partial(_gets, kind=kind, rounds=rounds)) for kind in WEB]
    if small:
        return gets
    return gets + [Case(f"POST, {kind}", functools.partial(_posts, kind=kind, rounds=8)) for kind in WEB]


def _race(name: str, bench: Bench, kind: str, method: str, rounds: int, seed: int) -> tuple[list[float], "Line"]:
    with contextlib.ExitStack() as stack:
        # It holds each answer for a moment, so that there are as many connections as clients.
        backend = Backend(bench.crew, bench.scratch, kind, keep_alive=1, hold=0.03)
        stack.callback(backend.stop)
        backend.start()
        setting = Setting((backend.address,), pool=512)
        proxy = stack.enter_context(running(name, setting, bench))
        race = Race(proxy.port, CLIENTS, method, due=closes_after(backend.port), spread=SPREAD, seed=seed)
        line = Line.of(race.run(rounds), most=0 if method == "GET" else None)
        return race.lateness, line


def _gets(name: str, bench: Bench, *, kind: str, rounds: int) -> Line:
    lateness, line = _race(name, bench, kind, "GET", rounds, seed=1)
    line.figures["late p90 ms"] = _p90(lateness)
    return line


def _posts(name: str, bench: Bench, *, kind: str, rounds: int) -> Line:
    """The median of three runs by failures; nothing of a POST is promised but that nginx does not do better."""
    runs = [_race(name, bench, kind, "POST", rounds, seed) for seed in (1, 2, 3)]
    runs.sort(key=lambda run: run[1].failed)
    line = runs[1][1]
    line.figures["fewest"], line.figures["most"] = runs[0][1].failed, runs[2][1].failed
    line.figures["late p90 ms"] = _p90(runs[1][0])
    return line


def _p90(lateness: list[float]) -> float:
    return round(1000 * statistics.quantiles(lateness, n=10)[8], 2) if len(lateness) > 1 else 0.0


