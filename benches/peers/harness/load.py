"""The load generators: one function each, all with the same answer."""

from __future__ import annotations

import json
import re
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from . import newconn, routes, tools
from .peers import Target
from .processes import Crew
from .scenarios import Scenario

PACED_SEED = 20260105


@dataclass
class Result:
    """Latencies in microseconds. `bad`: not a 200. `lost`: no answer."""

    requests: int
    seconds: float
    p50: float
    p99: float
    p999: float
    bad: int = 0
    lost: int = 0
    lag_p99: float | None = None


@dataclass
class Generators:
    """Runs loads on the cores that are not the proxy's."""

    crew: Crew
    cores: str
    scratch: Path
    openssl: Path

    def run(self, scenario: Scenario, target: Target, seconds: float, rate: float | None) -> Result:
        match scenario.load:
            case "wrk":
                return self._wrk(scenario, target, seconds)
            case "h2load":
                return self._h2load(scenario, target, seconds)
            case "paced":
                return self._paced(scenario, target, seconds, rate)
            case "newconn":
                return self.newconn(scenario, target, seconds)
        raise ValueError(f"{scenario.load} is not a load generator")

    def _run(self, argv: list[str], seconds: float) -> str:
        return self.crew.run(argv, self.cores, seconds + 30, {"OPENSSL_CONF": str(self.openssl)})

    def _wrk(self, scenario: Scenario, target: Target, seconds: float) -> Result:
        scheme = "https" if scenario.mode == "tls" else "http"
        printed = self._run(
            [tools.program("wrk"), "-t1", f"-c{scenario.connections}", f"-d{_whole(seconds)}", "--timeout", "10",
             "-s", str(tools.HERE / "templates" / "wrk.lua"),
             f"{scheme}://127.0.0.1:{target.port}{scenario.body[0]}", "--", str(scenario.post),
             "close" if scenario.closes else "keep", str(routes.ROUTES if scenario.mode == "routes" else 0)],
            seconds,
        )
        return Result(**_without(_json(printed), "max"))

    def _paced(self, scenario: Scenario, target: Target, seconds: float, rate: float | None) -> Result:
        assert rate is not None, "a paced load has a rate"
        told = _json(self._run(
            [tools.load("paced"), str(target.port), scenario.body[0], f"{rate:.0f}", str(seconds),
             str(scenario.connections), str(PACED_SEED)],
            seconds,
        ))
        return Result(seconds=seconds, **_without(told, "max", "lag_p50", "queued"))

    def newconn(self, scenario: Scenario, target: Target, seconds: float) -> Result:
        told = _json(self._run(_newconn(scenario, target, seconds), seconds))
        return Result(**told)

    def agreed(self, scenario: Scenario, target: Target) -> dict[str, object]:
        """What one TLS connection agrees on, and whether its answer was right."""
        return _json(self._run(_newconn(scenario, target, 0), 1))

    def _h2load(self, scenario: Scenario, target: Target, seconds: float) -> Result:
        log = self.scratch / "h2load.log"
        log.unlink(missing_ok=True)
        printed = self._run(
            [tools.program("h2load"), "-t1", "-c", str(scenario.connections), "-m", str(scenario.streams),
             "-D", str(_whole(seconds)), f"--log-file={log}", *self._h2_request(scenario, target)],
            seconds,
        )
        taken = sorted(int(line.rsplit("\t", 1)[1]) for line in log.read_text().splitlines())
        log.unlink()
        counts = h2_counts(printed)
        at = [float(taken[min(len(taken) - 1, int(len(taken) * share))]) for share in (0.5, 0.99, 0.999)]
        bad = counts["3xx"] + counts["4xx"] + counts["5xx"]
        lost = counts["failed"] + counts["errored"] + counts["timeout"]
        return Result(counts["done"], _whole(seconds), *at, bad=bad, lost=lost)

    def h2_once(self, scenario: Scenario, target: Target, requests: int) -> dict[str, int]:
        """A few requests, to see that the answers are right."""
        return h2_counts(self._run(
            [tools.program("h2load"), "-t1", "-c1", "-m4", "-n", str(requests), *self._h2_request(scenario, target)], 1,
        ))

    def _h2_request(self, scenario: Scenario, target: Target) -> list[str]:
        url = f"http://127.0.0.1:{target.port}{scenario.body[0]}"
        if scenario.mode != "grpc":
            return [url]
        message = self.scratch / "message"
        message.write_bytes(bytes([0, 0, 0, 0, 64]) + b"x" * 64)
        return ["-d", str(message), "-H", "content-type: application/grpc", "-H", "te: trailers", url]


def h2_counts(printed: str) -> dict[str, int]:
    """The numbers of h2load's summary by their words; `data` is bytes of bodies."""
    words = r"(\d+) (done|failed|errored|timeout|[2-5]xx)"
    counts = {word: int(number) for number, word in re.findall(words, printed)}
    data = re.search(r"\((\d+)\) data", printed)
    counts["data"] = int(data.group(1)) if data else 0
    return counts


def _newconn(scenario: Scenario, target: Target, seconds: float) -> list[str]:
    path, length = scenario.body
    return [sys.executable, str(tools.HERE / "harness" / "newconn.py"), str(target.port), path, str(length),
            str(seconds), str(scenario.connections)]


def _json(printed: str) -> dict:
    return json.loads(next(line for line in printed.splitlines() if line.startswith("{")))


def _without(told: dict, *names: str) -> dict:
    return {name: value for name, value in told.items() if name not in names}


def _whole(seconds: float) -> int:
    return max(1, round(seconds))


def idle_connections(scenario: Scenario, target: Target) -> list[socket.socket]:
    """Opens connections that have had one exchange each and now wait."""
    tls = newconn.context() if scenario.mode == "tls" else None
    request = f"GET /small HTTP/1.1\r\nHost: 127.0.0.1:{target.port}\r\n\r\n".encode()
    opened = []
    for _ in range(scenario.connections):
        connection = socket.create_connection(("127.0.0.1", target.port), timeout=10)
        if tls:
            connection = tls.wrap_socket(connection)
        connection.sendall(request)
        read = b""
        while not read.endswith(b"\r\n\r\n" + b"x" * 128):
            chunk = connection.recv(4096)
            if not chunk:
                raise RuntimeError(f"{target.name} closed a connection after {len(opened)} others")
            read += chunk
        opened.append(connection)
    return opened
