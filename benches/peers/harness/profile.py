"""Looks where Strop spends its time: `perf record` beside one measuring."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import tools
from .peers import Target
from .processes import Crew
from .scenarios import Scenario

RATE = "997"
SHOWN = 40


class Profiler:
    """Records the processes of one peer while it is measured, in its first window."""

    def __init__(self, crew: Crew, cores: str, file: Path, log: Path, seconds: float) -> None:
        self._perf = tools.perf()
        self._crew = crew
        self._cores = cores
        self._file = file
        self._log = log
        self._seconds = seconds
        self._recording: subprocess.Popen[bytes] | None = None

    def beside(self, scenario: Scenario, target: Target) -> None:
        if self._recording is not None or target.name != "strop":
            return
        pids = ",".join(str(pid) for pid in target.pids())
        argv = [self._perf, "record", "-q", "-F", RATE, "-g", "-o", str(self._file), "-p", pids, "--", "sleep",
                f"{self._seconds:g}"]
        self._recording = self._crew.start(argv, self._cores, subprocess.DEVNULL, self._log)

    def report(self) -> str:
        """The functions that took most, callers left out. Where to look further stands at its end."""
        if self._recording is None:
            return "nothing was recorded: Strop was not among the peers"
        self._recording.wait()
        argv = [self._perf, "report", "-i", str(self._file), "--stdio", "--no-children", "-g", "none",
                "--percent-limit", "0.5", "-F", "overhead,dso,sym"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip() and not line.startswith("#")]
        return "\n".join([*lines[:SHOWN], "", f"callers: perf report -i {self._file} --no-children"])
