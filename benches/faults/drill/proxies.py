"""The proxies: how each is configured for a fault, started and stopped. One instance lives for one case."""

from __future__ import annotations

import contextlib
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator

from harness import tools
from harness.peers import rendered
from harness.processes import Crew, eventually, listens

from .ports import low_ports
from .strop import Api, Binary

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
PEERS = ["nginx", "haproxy", "envoy"]
STROPS = ["strop on", "strop shadow", "strop off"]
# The example of its documentation, asked for the idle round trip once in the 60 s that are usual there.
ADAPTIVE = """\
          - name: envoy.filters.http.adaptive_concurrency
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.adaptive_concurrency.v3.AdaptiveConcurrency
              gradient_controller_config:
                sample_aggregate_percentile: { value: 90 }
                concurrency_limit_params: { concurrency_update_interval: 0.1s }
                min_rtt_calc_params: { jitter: { value: 10 }, interval: 60s, request_count: 50 }
              enabled: { default_value: true, runtime_key: adaptive_concurrency.enabled }"""
ALL_CORES = f"0-{(os.cpu_count() or 1) - 1}"


@dataclass(frozen=True)
class Setting:
    """What a case asks of every proxy. What is not set is the proxy's default.

    `upstream`: how the backend is spoken to, `h1`, `h2` or `grpc`. `listener`: `h1` or `h2`. `vendor`: the upstream is
    not behind Strop's ingress but behind a `local` listener. `pool`: idle connections that may be kept.
    """

    endpoints: tuple[str, ...]
    upstream: str = "h1"
    listener: str = "h1"
    vendor: bool = False
    first_byte: int = 60
    pool: int = 64
    # Lines for Strop alone: tables' keys, as they stand in TOML.
    breaker: tuple[tuple[str, str], ...] = ()
    more: str = ""
    front: str = ""
    # For HAProxy: requests at once for each endpoint, the others queue; for Envoy: adaptive concurrency. 0: all.
    slots: int = 0
    # A name server, where endpoints are names; `moving`: what they stand for changes.
    names: str = ""
    moving: bool = False


@dataclass
class Bench:
    """What all cases share."""

    crew: Crew
    scratch: Path
    strop: Binary


@dataclass
class Running:
    name: str
    port: int
    admin: int
    process: subprocess.Popen[bytes]
    errors: Path

    @property
    def api(self) -> Api | None:
        return Api(self.admin) if self.name.startswith("strop") else None


def available(bench: Bench, names: list[str]) -> list[str]:
    """Of these, what this machine and this binary have; what a peer lacks is an error that says what to install."""
    for name in names:
        if name in PEERS:
            _program(name, bench)
    return [name for name in names if name != "strop shadow" or bench.strop.has_mode]


def versions(bench: Bench, names: list[str]) -> dict[str, str]:
    """By program, once each."""
    told = {}
    for name in names:
        kind = name.split(" ")[0]
        flag = {"nginx": "-v", "haproxy": "-v"}.get(kind, "--version")
        told.setdefault(kind, tools.version([_program(name, bench), flag]))
    return told


@contextlib.contextmanager
def running(name: str, setting: Setting, bench: Bench) -> Iterator[Running]:
    started = _started(name, setting, bench)
    try:
        yield started
    finally:
        bench.crew.stop(started.process, patience=2)


def _started(name: str, setting: Setting, bench: Bench) -> Running:
    for last in (False, False, True):
        port, admin = low_ports(2)
        kind = name.split(" ")[0]
        template, values = _config(name, setting, bench)
        place = bench.scratch / "proxy"
        place.mkdir(exist_ok=True)
        config = place / template
        values |= {"PORT": str(port), "ADMIN": str(admin), "SCRATCH": str(place), "POOL": str(setting.pool)}
        config.write_text(rendered(str(TEMPLATES / template), "", values))
        errors = place / f"{kind}.err"
        errors.unlink(missing_ok=True)
        argv = [_program(name, bench), *_arguments(kind, str(config))]
        env = {key: value for key, value in os.environ.items() if not key.startswith("STROP__")}
        process = bench.crew.start(argv, ALL_CORES, subprocess.DEVNULL, errors, env)
        try:
            eventually(f"{name} listens", lambda: process.poll() is not None or listens(port), seconds=20)
            if process.poll() is None:
                return Running(name, port, admin, process, errors)
            raise TimeoutError(f"it ended with {process.returncode}")
        except BaseException as error:
            bench.crew.stop(process, patience=1)
            if last or not isinstance(error, TimeoutError):
                told = errors.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{name} did not start: {error}\n{told}") from error
    raise AssertionError("the last try returns or raises")


def _program(name: str, bench: Bench) -> str:
    if name == "envoy":
        try:
            return tools.envoy()
        except tools.Missing as error:
            raise tools.Missing("Envoy is not installed: run benches/faults/setup --peers first") from error
    if name in PEERS:
        return tools.program(name, "run benches/faults/setup --peers first")
    return bench.strop.path


def _arguments(kind: str, config: str) -> list[str]:
    match kind:
        case "nginx":
            return ["-c", config]
        case "haproxy":
            return ["-db", "-f", config]
        case "envoy":
            return ["-c", config, "--disable-hot-restart", "--log-level", "error"]
    return ["run", "--config", config]


def _config(name: str, setting: Setting, bench: Bench) -> tuple[str, dict[str, str]]:
    match name.split(" ")[0]:
        case "nginx":
            return "nginx.conf", _nginx(setting)
        case "haproxy":
            return "haproxy.cfg", _haproxy(setting)
        case "envoy":
            return "envoy.yaml", _envoy(setting)
    return "strop.toml", _strop(name.split(" ")[1], setting, bench)


def _nginx(setting: Setting) -> dict[str, str]:
    kind = "grpc" if setting.upstream == "grpc" else "proxy"
    target, resolver = "backend", ""
    lines = []
    if setting.moving:
        # What is looked up again while it runs is a variable in this nginx.
        resolver = f"resolver {setting.names} valid=1s;"
        lines.append(f"set $named {setting.endpoints[0]};")
        target = "$named"
    lines += [
        f"{kind}_pass {'grpc' if kind == 'grpc' else 'http'}://{target};",
        f"{kind}_connect_timeout 1s;",
        f"{kind}_read_timeout {setting.first_byte}s;",
    ]
    if kind == "proxy":
        lines += [
            "proxy_http_version 1.1;", 'proxy_set_header Connection "";', "proxy_set_header Host $http_host;",
            "proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;",
        ]
    servers = ["127.0.0.1:9"] if setting.moving else setting.endpoints
    return {
        "HTTP2": " http2" if setting.listener == "h2" else "",
        "SERVERS": "\n        ".join(f"server {each};" for each in servers),
        "PASS": "\n            ".join(lines), "RESOLVER": resolver,
    }


def _haproxy(setting: Setting) -> dict[str, str]:
    spoken = "" if setting.upstream == "h1" else " proto h2"
    resolver = ""
    if setting.names:
        resolver = f"resolvers dns\n    nameserver one {setting.names}:53\n    hold valid 1s\n    timeout resolve 1s"
        lookup = " resolvers dns init-addr libc,none"
        servers = [f"server-template app{n} 10 {each}{lookup}{spoken}" for n, each in enumerate(setting.endpoints)]
    else:
        at_once = f" maxconn {setting.slots}" if setting.slots else ""
        servers = [f"server app{n} {each}{spoken}{at_once}" for n, each in enumerate(setting.endpoints)]
    return {
        "HTTP2": " proto h2" if setting.listener == "h2" else "", "FIRST_BYTE": f"{setting.first_byte}s",
        "SERVERS": "\n    ".join(servers), "RESOLVER": resolver, "GLOBAL": "",
        # Without it what waits longer than a connection may take is refused.
        "QUEUE": "timeout queue 250ms" if setting.slots else "",
    }


def _envoy(setting: Setting) -> dict[str, str]:
    servers = []
    for each in setting.endpoints:
        host, port = each.rsplit(":", 1)
        address = f"{{ address: {host}, port_value: {port} }}"
        servers.append(f"        - endpoint: {{ address: {{ socket_address: {address} }} }}")
    upstream = ""
    if setting.upstream != "h1":
        upstream = "http2_protocol_options: {}"
    resolver = "dns_refresh_rate: 1s" if setting.moving else ""
    return {
        "FIRST_BYTE": f"{setting.first_byte}s", "DISCOVERY": "STRICT_DNS" if setting.names else "STATIC",
        "SERVERS": "\n".join(servers), "UPSTREAM": upstream, "RESOLVER": resolver,
        "FILTERS": ADAPTIVE if setting.slots else "",
    }


def _strop(mode: str, setting: Setting, bench: Bench) -> dict[str, str]:
    breaker = [f"{key} = {value}" for key, value in setting.breaker]
    lines = [
        f"breaker = {{ {', '.join([bench.strop.mode(mode), *breaker])} }}",
        f"timeouts = {{ first_byte = \"{setting.first_byte}s\" }}",
    ]
    if setting.upstream != "h1":
        lines.append('protocol = "h2"')
    if setting.pool != Setting.pool:
        idle = ', idle_for = "50s"' if "idle_for" not in setting.more else ""
        lines.append(f"pool = {{ idle_per_worker = {setting.pool}{idle} }}")
    front = '[ingress]\nlisten = "127.0.0.1:@PORT@"\nupstream = "backend"\n'
    if setting.vendor:
        front = ""
        lines.append('local = "127.0.0.1:@PORT@"')
    if setting.vendor or setting.names:
        lines.append('allow_addresses = ["127.0.0.0/8", "2001:db8::/32"]')
    return {
        "SERVERS": ", ".join(f'"{each}"' for each in setting.endpoints),
        "UPSTREAM": "\n".join([*lines, setting.more]), "FRONT": front + setting.front,
    }
