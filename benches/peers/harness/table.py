"""The results as aligned tables and as JSON."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Callable

from .peers import BEFORE, DIRECT, OURS
from .rounds import Results, counted, median, rate
from .scenarios import Scenario
from .window import Window

Median = dict[str, float | None]

# Heading, and what stands below it.
Column = tuple[str, Callable[[Median], str]]


def _number(name: str, digits: int, scale: float = 1) -> Callable[[Median], str]:
    def shown(row: Median) -> str:
        value = row[name]
        return "–" if value is None else f"{value * scale:,.{digits}f}"

    return shown


LATENCY: list[Column] = [
    ("p50 µs", _number("p50", 0)),
    ("p99 µs", _number("p99", 0)),
    ("p99.9 µs", _number("p999", 0)),
]
CPU: list[Column] = [
    ("CPU µs", _number("cpu", 1)),
    ("user", _number("user", 1)),
    ("system", _number("system", 1)),
]
TAIL: list[Column] = [
    ("core %", _number("proxy_core", 0, 100)),
    ("load core %", _number("load_core", 0, 100)),
    ("RSS MiB", _number("rss", 1)),
    ("log %", _number("log_share", 0, 100)),
]
RATES: list[Column] = [("req/s", _number("rps", 0)), *LATENCY, *CPU, *TAIL]
QUEUE: list[Column] = [
    ("queued µs", _number("queued", 1)),
    ("preempted", _number("preempted", 1)),
    ("beside %", _number("beside", 2, 100)),
]
PACED: list[Column] = [("req/s", _number("rps", 0)), *LATENCY, ("lag p99", _number("lag_p99", 0)), *CPU, *QUEUE, *TAIL]
MEMORY: list[Column] = [
    ("idle RSS MiB", _number("idle_rss", 1)),
    ("idle PSS MiB", _number("idle_pss", 1)),
    ("full RSS MiB", _number("rss", 1)),
    ("full PSS MiB", _number("pss", 1)),
    ("KiB/connection", _number("per_connection", 2)),
]
SCRAPE: list[Column] = [
    ("scrape ms", _number("scrape_ms", 1)),
    ("its CPU ms", _number("scrape_cpu_ms", 1)),
    ("KiB", _number("scrape_kib", 0)),
]
COLUMNS = {"memory": MEMORY, "paced": PACED}

# Name and heading. A ratio is to the best of the peers, Strop not among them.
Ratio = tuple[str, str]
RATIOS: dict[str, list[Ratio]] = {
    "memory": [("idle_rss", "idle ×"), ("per_connection", "conn ×")],
    "paced": [("cpu", "CPU ×"), ("user", "user ×"), ("p99", "p99 ×"), ("p999", "p99.9 ×")],
}
USUAL_RATIOS: list[Ratio] = [("cpu", "CPU ×"), ("user", "user ×"), ("rps", "req/s ×")]
MORE_IS_BETTER = {"rps"}


def ratios_of(scenario: Scenario) -> list[Ratio]:
    return RATIOS.get(scenario.load, USUAL_RATIOS)


def summary(scenario: Scenario, results: Results) -> dict[str, Median]:
    """One row of medians for each peer, with its ratios to the best peer."""
    names = dict.fromkeys(window.peer for window in results.windows if window.scenario == scenario.name)
    windows = {name: results.of(scenario.name, name) for name in names}
    kept, disturbed = counted(windows)
    rows: dict[str, Median] = {}
    for name in names:
        rows[name] = median(kept[name])
        rows[name].update(windows=len(windows[name]), kept=len(kept[name]), disturbed=float(disturbed))
    for name, _ in ratios_of(scenario):
        others = [row[name] for peer, row in rows.items() if peer not in (OURS, BEFORE, DIRECT) and row[name]]
        best = (max if name in MORE_IS_BETTER else min)(others) if others else None
        for row in rows.values():
            row[f"{name}_ratio"] = row[name] / best if best and row[name] is not None else None
    return rows


def shown(scenario: Scenario, results: Results, order: list[str]) -> str:
    """The table of one scenario."""
    rows = summary(scenario, results)
    more = SCRAPE if scenario.mode == "routes" else []
    columns = COLUMNS.get(scenario.load, RATES) + more + [
        (heading, _number(f"{name}_ratio", 2)) for name, heading in ratios_of(scenario)
    ]
    lines = [["", *(heading for heading, _ in columns), "windows"]]
    for peer in (name for name in order if name in rows):
        row = rows[peer]
        lines.append([peer, *(cell(row) for _, cell in columns), f"{row['kept']:.0f}/{row['windows']:.0f}"])
    mark = "*" if any(row["disturbed"] for row in rows.values()) else ""
    title = f"{scenario.name}{mark}: {scenario.title}"
    if asked := rate(scenario, results):
        title += f" ({asked:,.0f} req/s)"
    return f"\n{title}\n{_aligned(lines)}{_troubles(scenario, results)}"


def _aligned(lines: list[list[str]]) -> str:
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    return "".join(
        "  " + line[0].ljust(widths[0]) + "".join("  " + cell.rjust(width) for cell, width in zip(line[1:], widths[1:]))
        + "\n"
        for line in lines
    )


def _troubles(scenario: Scenario, results: Results) -> str:
    told = []
    for window in results.windows:
        if window.scenario == scenario.name and (window.bad or window.lost):
            told.append(f"  ! {window.peer}, round {window.round + 1}: {window.bad} bad answers, {window.lost} lost\n")
    told += [f"  ! {failure}\n" for failure in results.failures if failure.startswith(scenario.name + ",")]
    return "".join(told)


def machine() -> dict[str, object]:
    model = next(
        (line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
         if line.startswith("model name")), platform.machine(),
    )
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release()}


def write_json(
    path: Path, scenarios: list[Scenario], results: Results, about: dict[str, object]
) -> None:
    done = [scenario for scenario in scenarios if any(w.scenario == scenario.name for w in results.windows)]
    whole = {
        **about,
        "capacity": results.capacity,
        "medians": {scenario.name: _plain_rows(summary(scenario, results)) for scenario in done},
        "windows": [_plain(window) for window in results.windows],
        "failures": results.failures,
    }
    path.write_text(json.dumps(whole, indent=1) + "\n")


def _plain(window: Window) -> dict[str, object]:
    return {name: _short(value) for name, value in window.as_dict().items() if value is not None}


def _plain_rows(rows: dict[str, Median]) -> dict[str, dict[str, object]]:
    told = {peer: {**row, "disturbed": bool(row["disturbed"]), "round": None} for peer, row in rows.items()}
    return {peer: {name: _short(v) for name, v in row.items() if v is not None} for peer, row in told.items()}


def _short(value: object) -> object:
    return round(value, 6) if isinstance(value, float) else value
