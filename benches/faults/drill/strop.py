"""What the harness knows of Strop: what a binary understands, and what a running one has counted."""

from __future__ import annotations

import functools
import json
import re
import subprocess
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

SMALLEST = '[ingress]\nlisten = "127.0.0.1:8000"\n[upstreams.backend]\nendpoints = ["127.0.0.1:8001"]\n'
# The kinds of verdict that are against somebody.
ACCUSING = ("connect", "tls", "timeout", "reset", "status", "protocol", "slow", "rate_limited")


@dataclass(frozen=True)
class Binary:
    """A binary from before a change may lack a key: it is asked with `strop check`, so that no version is compared."""

    path: str

    @functools.cached_property
    def has_mode(self) -> bool:
        return self.runs('breaker = { mode = "shadow" }')

    @functools.cached_property
    def has_retry_wait(self) -> bool:
        return self.runs('retry = { wait = "3s" }')

    def runs(self, line: str) -> bool:
        with tempfile.TemporaryDirectory(prefix="strop-asked-") as scratch:
            config = Path(scratch) / "strop.toml"
            config.write_text(SMALLEST + line + '\n[store]\nurl = "off"\n')
            return subprocess.run([self.path, "check", str(config)], capture_output=True, check=False).returncode == 0

    def mode(self, mode: str) -> str:
        if self.has_mode:
            return f'mode = "{mode}"'
        if mode == "shadow":
            raise ValueError("this binary has no shadow mode")
        return f"enabled = {'true' if mode == 'on' else 'false'}"


@dataclass(frozen=True)
class Api:
    port: int

    def _get(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            return answer.read()

    def upstream(self) -> dict:
        return json.loads(self._get("/api/v2/sre/upstreams/backend"))

    def state(self) -> str:
        return self.upstream()["breaker"]["state"]

    def against(self) -> dict[str, int]:
        """Verdicts against an endpoint or the upstream, by kind; the others accuse nobody."""
        return {kind: count for kind, count in self.upstream()["attempts"].items() if count and kind in ACCUSING}

    def nobodys(self) -> dict[str, int]:
        """Attempts that say nothing of the upstream, by kind."""
        known = (*ACCUSING, "good")
        return {kind: count for kind, count in self.upstream()["attempts"].items() if count and kind not in known}

    def transitions(self) -> dict[str, int]:
        """How often the backend's breaker went where."""
        found: dict[str, int] = {}
        for line in self._get("/metrics").decode().splitlines():
            if not line.startswith("breaker_transitions_total{") or 'upstream="backend"' not in line:
                continue
            to = re.search(r'to="([^"]*)"', line)
            if to:
                found[to.group(1)] = found.get(to.group(1), 0) + int(float(line.rsplit(" ", 1)[1]))
        return found
