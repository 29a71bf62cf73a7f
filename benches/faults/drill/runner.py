"""Goes through rows, cases, rounds and proxies; a round of a case is interleaved and begins with another proxy."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from types import ModuleType

from harness import tools

from .proxies import ALL_CORES, Bench
from .report import Case, Line, shown

FAILURES = (RuntimeError, TimeoutError, OSError, AssertionError)


def run(
    bench: Bench, names: list[str], rows: dict[int, ModuleType], options: argparse.Namespace
) -> tuple[list[Line], list[str]]:
    lines: list[Line] = []
    errors: list[str] = []
    for number, row in rows.items():
        if getattr(row, "INSIDE", False) and not options.inside:
            inside(bench, number, options, lines, errors)
            continue
        here: list[Line] = []
        for case in row.cases(options.small):
            if options.case and not any(each in case.name for each in options.case):
                continue
            there = [name for name in names if not case.only or name in case.only]
            for turn in range(options.rounds if there else 0):
                first = turn % len(there)
                for name in there[first:] + there[:first]:
                    _one(bench, number, case, name, turn, here, errors)
        # By proxy in one order, whoever began.
        here.sort(key=lambda line: (line.round, names.index(line.proxy)))
        lines += here
        order = {case: at for at, case in enumerate(dict.fromkeys(line.case for line in here))}
        here.sort(key=lambda line: (order[line.case], names.index(line.proxy)))
        if here:
            print(shown(number, row.TITLE, here), flush=True)
    return lines, errors


def inside(
    bench: Bench, row: int, options: argparse.Namespace, lines: list[Line], errors: list[str]
) -> None:
    """The row in namespaces of its own: network, so that loopback is all there is; mounts, for a `resolv.conf`; and
    processes, so that nobody in it outlives it."""
    told = bench.scratch / "inside.json"
    told.unlink(missing_ok=True)
    again = [sys.executable, "-B", str(Path(sys.argv[0]).resolve()), "--row", str(row), "--inside", "--json", str(told)]
    again += ["--strop", bench.strop.path, "--rounds", str(options.rounds)]
    again += [word for peer in options.peer or () for word in ("--peer", peer)]
    again += [word for case in options.case or () for word in ("--case", case)]
    again += ["--small"] if options.small else []
    unshare = [tools.program("unshare"), "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    errors_of_it = bench.scratch / "inside.err"
    up = ["sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    process = bench.crew.start([*unshare, *up, *again], ALL_CORES, 1, errors_of_it)
    try:
        process.wait()
    finally:
        bench.crew.stop(process, patience=3)
        print(errors_of_it.read_text(errors="replace"), file=sys.stderr, end="", flush=True)
    if not told.exists():
        errors.append(f"row {row}: the namespace ended with {process.returncode}; root is needed")
        return
    found = json.loads(told.read_text())
    lines += [Line(**line) for line in found["lines"]]
    errors += found["errors"]


def _one(
    bench: Bench, row: int, case: Case, name: str, turn: int, lines: list[Line], errors: list[str]
) -> None:
    began = time.monotonic()
    try:
        line = case.measure(name, bench)
    except FAILURES as error:
        told = str(error).replace("\n", " | ")
        errors.append(f"row {row}, {case.name}, {name}: {told}")
        print(f"{row} {case.name:34} {name:13} FAILED: {told}", file=sys.stderr, flush=True)
        return
    line.row, line.case, line.proxy, line.round = row, case.name, name, turn
    lines.append(line)
    told = [f"{line.failed} of {line.requests} failed", line.reasons, line.figures, line.note]
    what = ", ".join(str(each) for each in told if each)
    print(f"{row} {case.name:34} {name:13} {what} ({time.monotonic() - began:.1f} s)", file=sys.stderr, flush=True)
