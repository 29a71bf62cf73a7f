"""Reads from /proc what a process and a core did: CPU time, memory, and who else was there."""

from __future__ import annotations

import os
import resource
import time
from dataclasses import dataclass
from pathlib import Path

TICK = 1.0 / os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                parents.setdefault(_parent(int(name)), []).append(int(name))
            except (FileNotFoundError, ProcessLookupError):
                continue
    found = [pid]
    for each in found:
        found.extend(parents.get(each, []))
    return found


def _stat(pid: int) -> list[str]:
    # The name may hold spaces and brackets; what follows the last bracket does not.
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _parent(pid: int) -> int:
    return int(_stat(pid)[1])


@dataclass
class Cpu:
    """CPU seconds: the whole from the scheduler, to the nanosecond; the split from the clock's ticks."""

    whole: float
    user_ticks: int
    system_ticks: int

    @classmethod
    def of(cls, pids: list[int]) -> "Cpu":
        whole, user, system = 0.0, 0, 0
        for pid in pids:
            fields = _stat(pid)
            user += int(fields[11])
            system += int(fields[12])
            whole += _scheduled(pid, (int(fields[11]) + int(fields[12])) * TICK)
        return cls(whole, user, system)

    def __sub__(self, earlier: "Cpu") -> "Cpu":
        return Cpu(
            self.whole - earlier.whole,
            self.user_ticks - earlier.user_ticks,
            self.system_ticks - earlier.system_ticks,
        )

    @property
    def user(self) -> float:
        return self.whole * self.user_ticks / max(1, self.user_ticks + self.system_ticks)


def _scheduled(pid: int, otherwise: float) -> float:
    """Seconds on a core, over all threads. Kernels without schedstat only have ticks."""
    threads = threads_of([pid])
    return sum(thread.ran for thread in threads.values()) if threads else otherwise


@dataclass
class Thread:
    """Seconds on a core, seconds ready without one, and how often it lost one that it could have used."""

    ran: float = 0
    waited: float = 0
    preempted: int = 0

    def __sub__(self, earlier: "Thread") -> "Thread":
        return Thread(self.ran - earlier.ran, self.waited - earlier.waited, self.preempted - earlier.preempted)


def threads_of(pids: list[int]) -> dict[int, Thread]:
    """By number; empty on kernels without schedstat."""
    found = {}
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            try:
                ran, waited, _ = (task / "schedstat").read_text().split()
                status = (task / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            preempted = int(status.rpartition("nonvoluntary_ctxt_switches:")[2])
            found[int(task.name)] = Thread(int(ran) / 1e9, int(waited) / 1e9, preempted)
    return found


@dataclass
class Memory:
    """MiB. `rss` counts a page once for each process that has it; `pss` shares it out among them."""

    rss: float
    pss: float

    @classmethod
    def of(cls, pids: list[int]) -> "Memory":
        rss = pss = 0
        for pid in pids:
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Rss:"):
                    rss += int(line.split()[1])
                elif line.startswith("Pss:"):
                    pss += int(line.split()[1])
        return cls(rss / 1024, pss / 1024)


@dataclass
class CoreTime:
    """Seconds of some cores. `idle` is exact, but its complement holds the way into idleness and out of it, which is
    much where a core sleeps and wakes for each request. `busy` leaves that out, but is sampled by ticks. Both count
    what the hypervisor took away as not idle."""

    idle: float
    busy: float

    @classmethod
    def of(cls, cores: list[int]) -> "CoreTime":
        idle = busy = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *fields = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
                user, nice, system, idling, waiting, irq, softirq, stolen = map(int, fields[:8])
                idle += idling + waiting
                busy += user + nice + system + irq + softirq + stolen
        return cls(idle * TICK, busy * TICK)


def kernel_helpers(cores: list[int]) -> list[int]:
    """The kernel's threads that finish network work on these cores: theirs is nobody else's."""
    wanted = {f"ksoftirqd/{core}" for core in cores}
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and Path(f"/proc/{name}/comm").read_text().strip() in wanted:
                found.append(int(name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def of_waited_children() -> float:
    """CPU seconds of the children that ended: the load generators."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@dataclass
class Cores:
    """The two sides of a measurement."""

    proxy: list[int]
    load: list[int]
    helpers: tuple[list[int], list[int]]

    @classmethod
    def of(cls, proxy: list[int], load: list[int]) -> "Cores":
        return cls(proxy, load, (kernel_helpers(proxy), kernel_helpers(load)))


@dataclass
class Reading:
    """One look at everything that two readings compare."""

    at: float
    proxy: Cpu
    threads: dict[int, Thread]
    backend: Cpu
    cores: tuple[CoreTime, CoreTime]
    helpers: tuple[float, float]
    own: float

    @classmethod
    def take(cls, cores: Cores, proxy: list[int], backend: list[int]) -> "Reading":
        helpers = (Cpu.of(cores.helpers[0]).whole, Cpu.of(cores.helpers[1]).whole)
        own = time.process_time() + of_waited_children()
        times = (CoreTime.of(cores.proxy), CoreTime.of(cores.load))
        return cls(time.monotonic(), Cpu.of(proxy), threads_of(proxy), Cpu.of(backend), times, helpers, own)


@dataclass
class Between:
    """What happened between two readings."""

    seconds: float
    proxy: Cpu
    threads: dict[int, Thread]
    proxy_core: float
    load_core: float
    foreign_proxy: float
    foreign_load: float

    @classmethod
    def two(cls, cores: Cores, before: Reading, after: Reading) -> "Between":
        seconds = after.at - before.at
        proxy = after.proxy - before.proxy
        backend = after.backend - before.backend
        ours = [proxy.whole, backend.whole + after.own - before.own]
        others = []
        for side, count in enumerate((len(cores.proxy), len(cores.load))):
            then, now = before.cores[side], after.cores[side]
            busy = min(seconds * count - (now.idle - then.idle), now.busy - then.busy)
            known = ours[side] + after.helpers[side] - before.helpers[side]
            others.append(max(0.0, busy - known) / seconds)
        return cls(
            seconds=seconds,
            proxy=proxy,
            threads={number: now - before.threads.get(number, Thread()) for number, now in after.threads.items()},
            proxy_core=ours[0] / (seconds * len(cores.proxy)),
            load_core=ours[1] / (seconds * len(cores.load)),
            foreign_proxy=others[0],
            foreign_load=others[1],
        )
