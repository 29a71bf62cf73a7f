"""Row 4. Names with addresses of a family that has no route, that move, and that need the search list.

Runs in a network namespace of its own, where loopback is all there is, with a name server of its own. IPv6 addresses
are of the documentation's network: nothing leads there.
"""

from __future__ import annotations

import contextlib
import functools
import json
import socket
import subprocess
import time
from pathlib import Path

from harness.processes import eventually

from ..backends import ALL_CORES, APPS, Backend, python
from ..load import Load, Plan
from ..ports import low_ports
from ..proxies import Bench, Setting, running
from ..report import Case, Line
from ..tally import Tally, joined

TITLE = "Names, without a route for IPv6: failed GETs after the first good one"
INSIDE = True
SERVER = "127.0.0.53"
NOWHERE = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8::4"]
SEARCH = "search default.svc.cluster.test svc.cluster.test cluster.test"
TTLS = 'dns = { min_ttl = "1s", max_ttl = "5s" }'


def cases(small: bool) -> list[Case]:
    starts = 2 if small else 5
    found = []
    for what, vendor in (("", False), (", a vendor", True)):
        for count in (1, 4):
            found.append(Case(
                f"{count} A + 4 AAAA{what}",
                functools.partial(_families, count=count, vendor=vendor, starts=starts),
            ))
    flips = 2 if small else 6
    return found + [
        Case("addresses that move", functools.partial(_moving, flips=flips)),
        Case("search list, one label", functools.partial(_search, label="app")),
        Case("search list, two labels", functools.partial(_search, label="app.default")),
    ]


class Zone:
    """The name server, and what it says."""

    def __init__(self, bench: Bench, stack: contextlib.ExitStack) -> None:
        self._path = bench.scratch / "zone.json"
        self.says({})
        resolv = bench.scratch / "resolv.conf"
        # As a pod has it. What is not there a moment later is asked for once more, not after five seconds.
        resolv.write_text(f"nameserver {SERVER}\n{SEARCH}\noptions ndots:5 timeout:1\n")
        # In the mount namespace of this run alone.
        subprocess.run(["mount", "--bind", str(resolv), "/etc/resolv.conf"], check=True)
        stack.callback(subprocess.run, ["umount", "/etc/resolv.conf"], check=True)
        argv = [python(), str(APPS / "dns.py"), SERVER, str(self._path)]
        process = bench.crew.start(argv, ALL_CORES, subprocess.DEVNULL, bench.scratch / "dns.err")
        stack.callback(bench.crew.stop, process, patience=0.2)
        eventually("the name server answers", _answers, seconds=10)

    def says(self, zone: dict[str, dict[str, list[str]]]) -> None:
        new = self._path.with_suffix(".new")
        new.write_text(json.dumps(zone))
        new.rename(self._path)


def _answers() -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        asked.settimeout(0.2)
        asked.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\1x\0\0\1\0\1", (SERVER, 53))
        try:
            return bool(asked.recv(512))
        except OSError:
            return False


def _after_the_first_good(tally: Tally) -> Tally:
    first = min((each.done for each in tally.outcomes if each.good), default=None)
    # Nothing good at all: all of it counts.
    return tally if first is None else tally.only(lambda each: each.sent > first)


def _backends(bench: Bench, stack: contextlib.ExitStack, hosts: list[str]) -> list[Backend]:
    (port,) = low_ports(1)
    found = [Backend(bench.crew, bench.scratch / host, "uvicorn", host=host, port=port) for host in hosts]
    for backend in found:
        Path(backend.scratch).mkdir(exist_ok=True)
        stack.callback(backend.stop)
        backend.start()
    return found


def _families(name: str, bench: Bench, *, count: int, vendor: bool, starts: int) -> Line:
    with contextlib.ExitStack() as stack:
        hosts = [f"127.0.1.{number + 1}" for number in range(count)]
        port = _backends(bench, stack, hosts)[0].port
        Zone(bench, stack).says({"app.test.": {"A": hosts, "AAAA": NOWHERE}})
        setting = Setting((f"app.test:{port}",), vendor=vendor, names=SERVER)
        tallies = []
        for _ in range(starts):
            with running(name, setting, bench) as proxy, Load(proxy.port, Plan(16, think=0.03)) as load:
                time.sleep(1.5)
                tallies.append(_after_the_first_good(load.stop()))
        return Line.of(joined(tallies))


def _moving(name: str, bench: Bench, *, flips: int) -> Line:
    """The new address is there before the name says so; the old one goes when three times the answer's life is over."""
    with contextlib.ExitStack() as stack:
        hosts = ["127.0.1.1", "127.0.1.2"]
        backends = _backends(bench, stack, hosts)
        zone = Zone(bench, stack)
        zone.says({"app.test.": {"A": hosts[:1], "AAAA": []}})
        backends[1].leave()
        setting = Setting((f"app.test:{backends[0].port}",), names=SERVER, moving=True, more=TTLS)
        proxy = stack.enter_context(running(name, setting, bench))
        load = stack.enter_context(Load(proxy.port, Plan(16, think=0.03)))
        time.sleep(1)
        for flip in range(flips):
            old, new = backends[flip % 2], backends[(flip + 1) % 2]
            new.start()
            zone.says({"app.test.": {"A": [new.host], "AAAA": []}})
            time.sleep(3)
            old.leave()
            time.sleep(1)
        return Line.of(_after_the_first_good(load.stop()))


def _search(name: str, bench: Bench, *, label: str) -> Line:
    with contextlib.ExitStack() as stack:
        port = _backends(bench, stack, ["127.0.1.1"])[0].port
        Zone(bench, stack).says({"app.default.svc.cluster.test.": {"A": ["127.0.1.1"], "AAAA": []}})
        proxy = stack.enter_context(running(name, Setting((f"{label}:{port}",), names=SERVER), bench))
        load = stack.enter_context(Load(proxy.port, Plan(16, think=0.03)))
        time.sleep(2)
        return Line.of(_after_the_first_good(load.stop()))
