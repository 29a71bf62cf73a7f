"""One window: one peer, one scenario, one round. The peer starts fresh, warms up, is measured, and stops."""

from __future__ import annotations

import statistics
import time
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable

from . import peers, verify
from .load import Generators, Result, idle_connections
from .meter import Between, Cores, Reading, Thread
from .peers import Peer, Place, Target
from .scenarios import Scenario

# The share of a core that others may have had before a window counts as disturbed.
OTHERS = 0.05
# How often all numbers are read after a load over many routes.
SCRAPES = 10


@dataclass
class Window:
    """What was measured. CPU in microseconds per request, latency in microseconds, memory in MiB."""

    scenario: str
    peer: str
    round: int
    disturbed: bool = False
    agreed: str = ""
    requests: int = 0
    rps: float | None = None
    p50: float | None = None
    p99: float | None = None
    p999: float | None = None
    bad: int = 0
    lost: int = 0
    lag_p99: float | None = None
    cpu: float | None = None
    user: float | None = None
    system: float | None = None
    proxy_core: float | None = None
    load_core: float | None = None
    foreign_proxy: float | None = None
    foreign_load: float | None = None
    rss: float | None = None
    pss: float | None = None
    idle_rss: float | None = None
    idle_pss: float | None = None
    per_connection: float | None = None
    # Of the thread that runs most: microseconds per request in which it was ready and waited for a CPU, and how often for a
    # thousand requests another took the CPU from it. Beside it: the share of a core that all other threads used.
    queued: float | None = None
    preempted: float | None = None
    beside: float | None = None
    log_share: float | None = None
    scrape_ms: float | None = None
    scrape_cpu_ms: float | None = None
    scrape_kib: float | None = None

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass
class Bench:
    """Everything that windows share."""

    place: Place
    generators: Generators
    cores: Cores
    backend: list[int]
    seconds: float
    warm_up: float
    # Runs beside the measuring of a target; a profiler.
    beside: Callable[[Scenario, Target], None] = lambda scenario, target: None

    def window(self, scenario: Scenario, peer: Peer | None, number: int, rate: float | None = None) -> Window:
        window = Window(scenario.name, peer.name if peer else peers.DIRECT, number)
        with peers.running(peer, scenario.mode, self.place) as target:
            if scenario.load == "memory":
                self._memory(scenario, target, window)
                return window
            window.agreed = verify.answers(scenario, target, self.generators)
            asked = self.generators.run(scenario, target, self.warm_up, rate).requests
            asked += self._measure(scenario, target, window, rate).requests
        if target.log is not None:
            # The peer has left, so what it had buffered is written.
            window.log_share = lines(target.log) / max(1, asked)
            target.log.unlink(missing_ok=True)
        return window

    def _measure(self, scenario: Scenario, target: Target, window: Window, rate: float | None) -> Result:
        self.beside(scenario, target)
        pids = target.pids()
        before = Reading.take(self.cores, pids, self.backend)
        result = self.generators.run(scenario, target, self.seconds, rate)
        after = Reading.take(self.cores, pids, self.backend)
        between = Between.two(self.cores, before, after)
        for name in ("requests", "p50", "p99", "p999", "bad", "lost", "lag_p99"):
            setattr(window, name, getattr(result, name))
        window.rps = result.requests / result.seconds
        window.foreign_proxy, window.foreign_load = between.foreign_proxy, between.foreign_load
        window.load_core = between.load_core
        # Without a proxy, its core does not matter.
        window.disturbed = max(between.foreign_proxy if pids else 0, between.foreign_load) > OTHERS
        if pids:
            per_request = 1e6 / max(1, result.requests)
            window.cpu = between.proxy.whole * per_request
            window.user = between.proxy.user * per_request
            window.system = window.cpu - window.user
            window.proxy_core = between.proxy_core
            most = max(between.threads.values(), key=lambda thread: thread.ran, default=Thread())
            window.queued, window.preempted = most.waited * per_request, most.preempted * per_request / 1e3
            window.beside = (between.proxy.whole - most.ran) / between.seconds
            if scenario.mode == "routes":
                self._scrapes(target, pids, window)
            memory = target.memory()
            window.rss, window.pss = memory.rss, memory.pss
        return result

    def _scrapes(self, target: Target, pids: list[int], window: Window) -> None:
        """What it costs to read all numbers, as often as a Prometheus does in a few minutes; medians."""
        taken = []
        before = Reading.take(self.cores, pids, self.backend)
        for _ in range(SCRAPES):
            began = time.monotonic()
            path = peers.METRICS.get(target.name, "/metrics")
            with urllib.request.urlopen(f"http://127.0.0.1:{target.admin}{path}", timeout=10) as answer:
                length = len(answer.read())
            taken.append((time.monotonic() - began, length))
        after = Reading.take(self.cores, pids, self.backend)
        window.scrape_ms = statistics.median(seconds for seconds, _ in taken) * 1e3
        window.scrape_cpu_ms = Between.two(self.cores, before, after).proxy.whole * 1e3 / SCRAPES
        window.scrape_kib = statistics.median(length for _, length in taken) / 1024

    def _memory(self, scenario: Scenario, target: Target, window: Window) -> None:
        time.sleep(1)
        idle = target.memory()
        window.agreed = verify.answers(scenario, target, self.generators)
        # What has just been served is not idle yet; what the first requests brought in is no connection's.
        time.sleep(5)
        served = target.memory()
        opened = idle_connections(scenario, target)
        time.sleep(5)
        full = target.memory()
        for connection in opened:
            connection.close()
        window.idle_rss, window.idle_pss = idle.rss, idle.pss
        window.rss, window.pss = full.rss, full.pss
        window.per_connection = (full.pss - served.pss) * 1024 / scenario.connections


def lines(log: Path) -> int:
    """How many a log has by now."""
    if not log.exists():
        return 0
    count = 0
    with open(log, "rb") as file:
        while chunk := file.read(1 << 20):
            count += chunk.count(b"\n")
    return count
