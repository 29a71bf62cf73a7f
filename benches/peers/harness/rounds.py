"""The run: scenario by scenario, round by round, every peer in turn.

In each round all peers are measured once, and each round begins with another peer: what drifts on the machine drifts
for all of them alike.
"""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass, field, fields
from typing import Callable

from .peers import BEFORE, DIRECT, OURS, Peer
from .scenarios import BY_NAME, Scenario
from .verify import Wrong
from .window import Bench, Window

FAILURES = (Wrong, RuntimeError, TimeoutError, OSError)
CALIBRATION = "small"


@dataclass
class Results:
    """All windows, in the order in which they were taken, and what went wrong."""

    windows: list[Window] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    # Requests per second of the slowest peer.
    capacity: float | None = None

    def of(self, scenario: str, peer: str) -> list[Window]:
        return [each for each in self.windows if (each.scenario, each.peer) == (scenario, peer)]


@dataclass
class Plan:
    """What is to be measured, and how often."""

    scenarios: list[Scenario]
    peers: list[Peer | None]
    rounds: int
    # More rounds of a scenario, as long as a peer has too few undisturbed windows.
    extra: int
    capacity: float | None


def run(bench: Bench, plan: Plan, shown: Callable[[Scenario, Results], None]) -> Results:
    """Measures everything; `shown` is told when a scenario is complete."""
    results = Results(capacity=plan.capacity)
    for scenario in plan.scenarios:
        there = [peer for peer in plan.peers if takes_part(scenario, peer)]
        if scenario.share and results.capacity is None:
            results.capacity = _of_the_slowest(bench, there, results)
        for number in range(plan.rounds + plan.extra):
            if number >= plan.rounds and _all_are_clean(scenario, there, plan.rounds, results):
                break
            turn = number % len(there)
            for peer in there[turn:] + there[:turn]:
                _one(bench, scenario, peer, number, results)
        shown(scenario, results)
    return results


def takes_part(scenario: Scenario, peer: Peer | None) -> bool:
    if peer is None:
        return scenario.has_direct
    return not scenario.peers or peer.name.replace(BEFORE, OURS) in scenario.peers


def _all_are_clean(scenario: Scenario, peers: list[Peer | None], rounds: int, results: Results) -> bool:
    """Has every peer as many undisturbed windows as most of the rounds would give?"""
    names = [peer.name if peer else DIRECT for peer in peers]
    clean = [sum(not window.disturbed for window in results.of(scenario.name, name)) for name in names]
    return all(count * 2 > rounds for count in clean)


def _one(bench: Bench, scenario: Scenario, peer: Peer | None, number: int, results: Results) -> None:
    name = peer.name if peer else DIRECT
    try:
        window = bench.window(scenario, peer, number, rate(scenario, results))
    except FAILURES as error:
        told = str(error).replace("\n", " | ")
        results.failures.append(f"{scenario.name}, {name}, round {number + 1}: {told}")
        _tell(f"{scenario.name:11} {number + 1:2} {name:8}  FAILED: {told}")
        return
    results.windows.append(window)
    mark = "*" if window.disturbed else " "
    told = [f"{window.rps:.0f} req/s" if window.rps else "", f"{window.cpu:.1f} µs CPU" if window.cpu else ""]
    if window.disturbed:
        shares = f"{window.foreign_proxy:.0%} of the proxy's core, {window.foreign_load:.0%} of the load's"
        told.append(f"others took {shares}")
    if window.bad or window.lost:
        told.append(f"{window.bad} BAD, {window.lost} LOST")
    _tell(f"{scenario.name:11} {number + 1:2} {name:8}{mark} {', '.join(each for each in told if each)}")


def rate(scenario: Scenario, results: Results) -> float | None:
    """Requests per second, where the load has a rate."""
    if not scenario.share or results.capacity is None:
        return None
    return max(100.0, round(results.capacity * scenario.share, -2))


def _of_the_slowest(bench: Bench, peers: list[Peer | None], results: Results) -> float:
    """What the slowest peer carries with 64 connections, from this run's windows or from new ones."""
    rates = []
    for peer in peers:
        if peer is None:
            continue
        if not results.of(CALIBRATION, peer.name):
            _one(bench, BY_NAME[CALIBRATION], peer, 0, results)
        rates.extend(row["rps"] for row in [median(results.of(CALIBRATION, peer.name))] if row["rps"])
    if not rates:
        raise RuntimeError("no peer could be measured, so there is no rate to ask of them")
    _tell(f"fixed rates: shares of the slowest peer's {min(rates):.0f} req/s")
    return min(rates)


def counted(by_peer: dict[str, list[Window]]) -> tuple[dict[str, list[Window]], bool]:
    """The undisturbed windows, if every peer has at least two; else all of them, and `True`: the medians are disturbed.

    All or none, because a quiet window of one peer beside a disturbed one of another would compare the disturbance.
    """
    clean = {peer: [window for window in windows if not window.disturbed] for peer, windows in by_peer.items()}
    if all(len(clean[peer]) >= min(2, len(windows)) for peer, windows in by_peer.items()):
        return clean, False
    return by_peer, True


def median(windows: list[Window]) -> dict[str, float | None]:
    """Field by field."""
    medians: dict[str, float | None] = {}
    for each in fields(Window):
        values = [getattr(window, each.name) for window in windows]
        numbers = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
        medians[each.name] = statistics.median(numbers) if numbers else None
    return medians


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
