"""Real servers, as an operator starts them, each at one port for as long as a case lasts."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from harness import tools
from harness.processes import Crew, eventually

from .ports import low_ports

HERE = Path(__file__).resolve().parent.parent
APPS = HERE / "backends"
INSTALL = "run benches/faults/setup first"
WEB = ["uvicorn", "hypercorn", "gunicorn", "node", "nginx"]
ALL_CORES = f"0-{(os.cpu_count() or 1) - 1}"

NGINX = """user root;
daemon off;
master_process off;
pid {place}/nginx.pid;
error_log stderr error;
worker_rlimit_nofile 8192;
events {{ worker_connections 2048; }}
http {{
    access_log off;
    client_body_temp_path {place}/body;
    proxy_temp_path {place}/proxy;
    fastcgi_temp_path {place}/fastcgi;
    uwsgi_temp_path {place}/uwsgi;
    scgi_temp_path {place}/scgi;
    keepalive_timeout {keep_alive}s;
    keepalive_requests {requests};
    server {{
        listen 127.0.0.1:{port}{http2} backlog=2048;
        add_header X-Endpoint {name} always;
        location / {{ return 200 "ok\\n"; }}
        location /bad {{ return 500 "ok\\n"; }}
    }}
}}
"""


def python() -> str:
    path = HERE / ".venv" / "bin" / "python"
    if not path.exists():
        raise tools.Missing(f"Python's servers are not installed: {INSTALL}")
    return str(path)


@dataclass
class Backend:
    """`keep_alive` in whole seconds; `hold` is how long each answer takes, in one of `slots` where
    there are some, three times as long for the first `cold` seconds (uvicorn, hypercorn); `bad` answers 500 to everything."""

    crew: Crew
    scratch: Path
    kind: str
    keep_alive: int = 75
    hold: float = 0.0
    slots: int = 0
    cold: float = 0.0
    bad: bool = False
    requests: int = 1_000_000
    http2: bool = False
    age: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if not self.port:
            (self.port,) = low_ports(1)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def start(self) -> "Backend":
        env = {
            **os.environ, "PORT": str(self.port), "NAME": str(self.port), "HOLD": str(self.hold),
            "BAD": "1" if self.bad else "0", "KEEP_ALIVE": str(self.keep_alive), "AGE": str(self.age),
            "SLOTS": str(self.slots), "COLD": str(self.cold), "PYTHONPATH": str(APPS), "PYTHONDONTWRITEBYTECODE": "1", "GRPC_VERBOSITY": "NONE",
        }
        place = self.scratch / f"{self.kind}.{self.port}"
        place.mkdir(exist_ok=True)
        self.process = self.crew.start(self._argv(place), ALL_CORES, subprocess.DEVNULL, place / "err", env)
        process = self.process
        eventually(f"{self.kind} listens", lambda: process.poll() is not None or self.listens(), seconds=20)
        if process.poll() is not None:
            raise RuntimeError(f"{self.kind} ended: {(place / 'err').read_text(errors='replace')[-1000:]}")
        return self

    def listens(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), timeout=1).close()
        except OSError:
            return False
        return True

    def _argv(self, place: Path) -> list[str]:
        bind, keep = f"{self.host}:{self.port}", str(self.keep_alive)
        match self.kind:
            case "uvicorn":
                return [
                    python(), "-m", "uvicorn", "asgi:app", "--host", self.host, "--port", str(self.port),
                    "--timeout-keep-alive", keep, "--log-level", "warning", "--no-access-log", "--http", "httptools",
                    "--timeout-graceful-shutdown", "10",
                ]
            case "hypercorn":
                return [python(), "-m", "hypercorn", "asgi:app", "--bind", bind, "--keep-alive", keep]
            case "gunicorn":
                return [
                    python(), "-m", "gunicorn", "wsgi:app", "--bind", bind, "--worker-class", "gthread", "--threads",
                    "64", "--keep-alive", keep, "--log-level", "warning", "--backlog", "2048", "--no-control-socket",
                ]
            case "node":
                return [tools.program("node", INSTALL), str(APPS / "server.js")]
            case "nginx":
                config = place / "nginx.conf"
                config.write_text(NGINX.format(
                    place=place, port=self.port, name=self.port, keep_alive=keep, requests=self.requests,
                    http2=" http2" if self.http2 else "",
                ))
                return [tools.program("nginx", INSTALL), "-c", str(config)]
            case "grpc":
                return [python(), str(APPS / "grpc_server.py")]
        raise ValueError(f"{self.kind} is no backend")

    def leave(self, how: signal.Signals = signal.SIGTERM) -> None:
        """SIGTERM lets it finish; SIGKILL takes it and its workers away in the middle of everything."""
        assert self.process is not None
        if how == signal.SIGKILL:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.crew.stop(self.process, patience=15)

    def stop(self) -> None:
        if self.process is not None:
            self.crew.stop(self.process, patience=0.2)
