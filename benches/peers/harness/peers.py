"""The peers: how each is configured, started and stopped. One instance lives for one window."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator

from . import meter, routes, tools
from .processes import Crew, eventually, free_ports, listens

TRIES = 3


@dataclass(frozen=True)
class Peer:
    """A proxy. `arguments` take the path of its config; `collects` where the access log needs a process beside it."""

    name: str
    template: str
    binary: Callable[[], str]
    arguments: Callable[[str], list[str]]
    version: list[str]
    collects: bool = False

    def told_version(self) -> str:
        return tools.version([self.binary(), *self.version])


@dataclass
class Target:
    """What a load is sent to."""

    name: str
    port: int
    # Where its numbers are.
    admin: int = 0
    leaders: list[int] = field(default_factory=list)
    log: Path | None = None

    def pids(self) -> list[int]:
        """All of its processes, by now: some start their workers after they listen."""
        return [pid for leader in self.leaders for pid in meter.family(leader)]

    def memory(self) -> meter.Memory:
        """The proxy's own; a collector stands for a daemon that is there anyway."""
        return meter.Memory.of(meter.family(self.leaders[0]))


@dataclass
class Place:
    """Where proxies run: the same for all."""

    crew: Crew
    scratch: Path
    backend_port: int
    grpc_port: int
    proxy_cores: str
    cert: Path
    key: Path
    pem: Path


DIRECT = "direct"
OURS = "strop"
# A Strop of another day, measured in the same run.
BEFORE = "before"
# Where a peer's numbers are on its admin port, if not at /metrics.
METRICS = {"envoy": "/stats/prometheus"}


def known(strop: str | None, before: str | None = None) -> dict[str, Peer]:
    """All peers, in the order of the tables. `before`: another Strop beside this one."""
    peers = [
        Peer("nginx", "nginx.conf", lambda: tools.program("nginx"), lambda c: ["-c", c], ["-v"]),
        Peer(
            "haproxy", "haproxy.cfg", lambda: tools.program("haproxy"), lambda c: ["-db", "-f", c], ["-v"],
            collects=True,
        ),
        Peer(
            "envoy", "envoy.yaml", tools.envoy,
            lambda c: ["-c", c, "--concurrency", "1", "--disable-hot-restart", "--log-level", "error"],
            ["--version"],
        ),
        Peer(OURS, "strop.toml", lambda: tools.strop(strop), lambda c: ["run", "--config", c], ["--version"]),
    ]
    if before:
        peers.append(Peer(BEFORE, "strop.toml", lambda: tools.strop(before), lambda c: ["run", "--config", c], ["--version"]))
    return {peer.name: peer for peer in peers}


def rendered(template: str, mode: str, values: dict[str, str]) -> str:
    """Lines marked with other modes go; names in at-signs are filled in."""
    lines = []
    for line in (tools.HERE / "templates" / template).read_text().splitlines():
        if line.startswith("|"):
            only, line = line[1:].split("|", 1)
            if mode not in only.split(","):
                continue
        lines.append(line)
    text = "\n".join(lines) + "\n"
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


@contextlib.contextmanager
def running(peer: Peer | None, mode: str, place: Place, more: str = "") -> Iterator[Target]:
    """The peer, fresh; `more` stands at the end of its config. No peer: straight to the backend."""
    if peer is None:
        yield Target(DIRECT, place.backend_port)
        return
    processes, target = _started(peer, mode, place, more)
    try:
        yield target
    finally:
        proxy, *collectors = processes
        place.crew.stop(proxy, patience=5)
        for collector in collectors:
            # It ends with its connection, once everything is written.
            place.crew.end(collector, patience=2)


# The proxy, and its collector where it has one, in the order in which they are to stop.
Started = tuple[list[subprocess.Popen[bytes]], Target]


def _started(peer: Peer, mode: str, place: Place, more: str) -> Started:
    for attempt in range(TRIES):
        try:
            return _start(peer, mode, place, more)
        except TimeoutError as error:
            if attempt == TRIES - 1:
                errors = (place.scratch / "logs" / f"{peer.name}.err").read_text(errors="replace")
                raise RuntimeError(f"{peer.name} did not start: {error}\n{errors[-2000:]}") from error
    raise AssertionError("every try returns or raises")


def _start(peer: Peer, mode: str, place: Place, more: str) -> Started:
    port, admin, collector = free_ports(3)
    # A directory for the logs alone: who watches the one of its config must not see them grow.
    logs = place.scratch / "logs"
    logs.mkdir(exist_ok=True)
    log, errors = logs / f"{peer.name}.access.log", logs / f"{peer.name}.err"
    for old in (log, errors):
        old.unlink(missing_ok=True)
    values = {
        "PORT": str(port), "ADMIN": str(admin), "BACKEND": str(place.backend_port), "GRPC": str(place.grpc_port), "LOG": str(log),
        "SCRATCH": str(place.scratch), "CERT": str(place.cert), "KEY": str(place.key), "PEM": str(place.pem),
        "COLLECTOR": str(collector), **routes.values(mode, place.backend_port),
    }
    config = place.scratch / Path(peer.template).name
    config.write_text(rendered(peer.template, mode, values) + more)
    env = {name: value for name, value in os.environ.items() if not name.startswith("STROP__")}
    # What Strop keeps on disk is gone with the run.
    env["STATE_DIRECTORY"] = str(place.scratch)
    wanted = [("the proxy", port, [peer.binary(), *peer.arguments(str(config))])]
    if peer.collects:
        wanted.insert(0, ("its collector", collector, [tools.load("collector"), str(collector), str(log)]))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for what, listening, argv in wanted:
            processes.insert(0, place.crew.start(argv, place.proxy_cores, subprocess.DEVNULL, errors, env))
            _await(what, processes[0], listening)
    except BaseException:
        for process in processes:
            place.crew.stop(process, patience=1)
        raise
    return processes, Target(peer.name, port, admin, [process.pid for process in processes], log)


def _await(what: str, process: subprocess.Popen[bytes], port: int) -> None:
    eventually(f"{what} listens", lambda: process.poll() is not None or listens(port), seconds=15)
    if process.poll() is not None:
        raise TimeoutError(f"{what} ended with {process.returncode}")


def certificate(crew: Crew, scratch: Path) -> tuple[Path, Path, Path]:
    """A P-256 key and its certificate, alone and in one file."""
    cert, key, pem = (scratch / name for name in ("tls.crt", "tls.key", "tls.pem"))
    crew.run(
        [tools.program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(cert)],
        "0-1023", timeout=30,
    )
    pem.write_text(cert.read_text() + key.read_text())
    return cert, key, pem
