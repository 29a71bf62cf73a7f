"""Lines of the table, and what is promised of Strop's."""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Callable

from .proxies import PEERS, Bench
from .tally import Tally


@dataclass
class Line:
    """What one proxy made of one case. `promised`: whether what the row promises of Strop held; `None`: no promise."""

    requests: int
    failed: int
    reasons: dict[str, int] = field(default_factory=dict)
    note: str = ""
    promised: bool | None = None
    # More figures, by name; shown after the reasons.
    figures: dict[str, float] = field(default_factory=dict)
    row: int = 0
    case: str = ""
    proxy: str = ""
    round: int = 0

    @staticmethod
    def of(tally: Tally, most: int | None = 0, note: str = "", **figures: float) -> "Line":
        """`most` failures are promised; `None`: nothing is."""
        promised = None if most is None else tally.failed <= most and tally.count > 0
        return Line(tally.count, tally.failed, tally.reasons(), note, promised, figures)


@dataclass(frozen=True)
class Case:
    """One fault. `only`: the proxies that it means something to; all of them when it is empty."""

    name: str
    measure: Callable[[str, Bench], Line]
    only: tuple[str, ...] = ()


def shown(row: int, title: str, lines: list[Line]) -> str:
    """The table of one row: medians over the rounds."""
    text = [f"\n{row}. {title}\n", f"{'case':34} {'proxy':13} {'requests':>8} {'failed':>7}  what"]
    for case, proxy, rounds in grouped(lines):
        requests = round(statistics.median(line.requests for line in rounds))
        failed = round(statistics.median(line.failed for line in rounds))
        last = max(rounds, key=lambda line: line.failed)
        what = [f"{count} × {why}" for why, count in list(last.reasons.items())[:4]]
        what += [f"{name} {value:g}" for name, value in last.figures.items()]
        if last.note:
            what.append(last.note)
        mark = "!" if any(line.promised is False for line in rounds) and proxy.startswith("strop") else " "
        text.append(f"{case:34} {proxy:13} {requests:8} {failed:6}{mark}  {', '.join(what)}")
    return "\n".join(text)


def grouped(lines: list[Line]) -> list[tuple[str, str, list[Line]]]:
    groups: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        groups.setdefault((line.case, line.proxy), []).append(line)
    return [(case, proxy, rounds) for (case, proxy), rounds in groups.items()]


def comparisons(lines: list[Line]) -> list[str]:
    """Where Strop failed more than the best peer, or more with its breaker on than without it; of rows that compare."""
    told = []
    medians: dict[tuple[int, str], dict[str, float]] = {}
    for row in sorted({line.row for line in lines}):
        for case, proxy, rounds in grouped([line for line in lines if line.row == row]):
            medians.setdefault((row, case), {})[proxy] = statistics.median(line.failed for line in rounds)
    for (row, case), by in medians.items():
        best = min((by[peer] for peer in PEERS if peer in by), default=None)
        for proxy, failed in by.items():
            if proxy.startswith("strop") and best is not None and failed > best:
                told.append(f"row {row}, {case}: {proxy} failed {failed:g}, the best of the peers {best:g}")
        off = by.get("strop off")
        for proxy in ("strop on", "strop shadow"):
            if off is not None and by.get(proxy, 0) > off:
                told.append(f"row {row}, {case}: {proxy} failed {by[proxy]:g}, off {off:g}")
    return told


def broken(lines: list[Line]) -> list[str]:
    return [
        f"row {line.row}, {line.case}, {line.proxy}: {line.failed} of {line.requests} failed "
        f"({', '.join(f'{count} × {why}' for why, count in line.reasons.items())})"
        + (f"; {line.note}" if line.note else "")
        for line in lines if line.promised is False and line.proxy.startswith("strop")
    ]


def write_json(path: Path, lines: list[Line], errors: list[str], versions: dict[str, str]) -> None:
    about = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "kernel": platform.release(),
        "cores": os.cpu_count(), "versions": versions,
    }
    path.write_text(json.dumps(about | {"lines": [asdict(line) for line in lines], "errors": errors}, indent=1) + "\n")
