"""Strop as it runs in a pod: its identity is the volume of a service account, at the place where pods have it."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import threading
import urllib.request
from pathlib import Path

from cluster import NAMESPACE, Cluster, Processes, eventually

# In a mount namespace of its own; ends as Strop, so that the process that was started is Strop.
IN_A_POD = """
set -e
volume=/run/secrets/kubernetes.io/serviceaccount
mount -t tmpfs none /run
mkdir -p "$volume"
mount --bind "$1" "$volume"
exec "$2" run --config "$3"
"""
# A plan for each action that Kubernetes does.
PLANS = {"restart": "restart_service", "up": "scale_up", "down": "scale_down", "back": "rollback"}


class Backend(http.server.BaseHTTPRequestHandler):
    """An application that is well."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_) -> None:
        pass


class Sidecar:
    """One that runs; its account's token and the CA are in `volume`."""

    def __init__(self, binary: Path, work: Path, cluster: Cluster, deployment: str) -> None:
        self.binary, self.work, self.cluster, self.deployment = binary, work, cluster, deployment
        self.processes: Processes = cluster.processes
        self.volume, self.child, self.admin = work / "serviceaccount", None, ""
        self.volume.mkdir()
        shutil.copy(work / "ca.crt", self.volume / "ca.crt")
        (self.volume / "namespace").write_text(NAMESPACE)
        self.backend = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Backend)
        threading.Thread(target=self.backend.serve_forever, daemon=True).start()

    def identify(self, token: str) -> None:
        """As a kubelet does it: by a rename."""
        (self.volume / "token.new").write_text(token)
        (self.volume / "token.new").rename(self.volume / "token")

    def config(self, enabled: str) -> str:
        plans = "".join(
            f'[plans.{plan}]\nservices = ["backend"]\nsteps = [{{ action = "{action}", mode = "act" }}]\n'
            'max_attempts = 1\nverify_for = "1s"\n'
            for plan, action in PLANS.items()
        )
        return (
            '[ingress]\nlisten = "127.0.0.1:0"\n[admin]\nlisten = "127.0.0.1:0"\n'
            f'[upstreams.backend]\nendpoints = ["127.0.0.1:{self.backend.server_port}"]\n'
            f'[kubernetes]\nenabled = {enabled}\ndeployment = "{self.deployment}"\n{plans}'
        )

    def start(self, *, enabled: bool) -> None:
        """Where the API server is, who it is and in which namespace, it finds as in a pod."""
        home = self.work / "strop"
        home.mkdir(exist_ok=True)
        (home / "strop.toml").write_text(self.config(str(enabled).lower()))
        environment = os.environ | {
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.cluster.port),
            "STATE_DIRECTORY": str(home),
            # This machine may be busy: that is no incident of this run's.
            "STROP__INCIDENTS__RESOURCES__SAMPLES": "1000",
        }
        own = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
        log = self.work / "strop.log"
        log.write_text("")
        paths = [str(self.volume), str(self.binary), str(home / "strop.toml")]
        self.child = self.processes.start("strop", [*own, "sh", "-c", IN_A_POD, "pod", *paths], env=environment)

        def listens() -> bool:
            self.processes.lives("strop")
            for line in log.read_text().splitlines():
                said = json.loads(line) if line.startswith("{") else {}
                if said.get("message") == "listening" and said.get("listener") == "admin":
                    self.admin = said["address"]
            return bool(self.admin)

        eventually("Strop listens", listens)
        eventually("Strop is ready", lambda: self.ask("/readyz") is not None)

    def end(self) -> None:
        self.processes.end(self.child)
        self.admin = ""

    def ask(self, path: str, body=None):
        data = None if body is None else json.dumps(body).encode()
        fields = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://{self.admin}{path}", data, fields)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def step(self, plan: str) -> tuple[str, str]:
        """Orders a plan and waits for the end of its run; result and words of its one step."""
        order = {"trigger_condition": plan, "actor": "checks", "reason": "tests/kubernetes"}
        begun = self.ask("/api/v2/sre/recovery/trigger", order)
        if begun is None:
            raise RuntimeError(f"the order of plan {plan} was not taken")
        number = json.loads(begun)["run"]["id"]

        def ended():
            self.processes.lives("strop")
            runs = json.loads(self.ask("/api/v2/sre/recovery") or '{"runs": []}')["runs"]
            return next((run for run in runs if run["id"] == number and run.get("outcome")), None)

        step = eventually(f"the run of plan {plan} has ended", ended)["steps"][0]
        return step.get("result") or "", step.get("detail") or ""
