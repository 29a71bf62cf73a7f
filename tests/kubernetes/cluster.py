"""A Kubernetes API server with RBAC and an audit log, its etcd, and the controller of Deployments: on 127.0.0.1, for one run."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import time
from pathlib import Path

NAMESPACE = "shop"
ELSEWHERE = "elsewhere"
# The token of whoever may do everything.
ADMIN = "admin-of-this-run"
# What the requests of the checks call themselves in the audit log: they are none of Strop's.
AGENT = "strop-checks"
PATIENCE = 60.0


class Refused(Exception):
    """An answer that is no success."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(f"{status}: {said}")
        self.status = status


def eventually(what: str, holds):
    """What `holds` gives, once it is something."""
    until = time.monotonic() + PATIENCE
    while True:
        found = holds()
        if found:
            return found
        if time.monotonic() > until:
            raise TimeoutError(f"not within {PATIENCE:.0f} s: {what}")
        time.sleep(0.1)


def free_ports(number: int) -> list[int]:
    """Ports that nobody has; the API server does not take 0."""
    held = [socket.socket() for _ in range(number)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


class Processes:
    """What was started, ended in the other order."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.running: list[tuple[str, subprocess.Popen]] = []

    def start(self, name: str, command: list[str], **more) -> subprocess.Popen:
        with (self.work / f"{name}.log").open("ab") as log:
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **more)
        self.running.append((name, child))
        return child

    def end(self, child: subprocess.Popen) -> None:
        self.running = [(name, one) for name, one in self.running if one is not child]
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()

    def end_all(self) -> None:
        for _, child in reversed(list(self.running)):
            self.end(child)

    def lives(self, name: str) -> None:
        for named, child in self.running:
            if named == name and child.poll() is not None:
                log = (self.work / f"{name}.log").read_text(errors="replace").splitlines()
                raise RuntimeError("\n".join([f"{name} has ended with {child.returncode}", *log[-20:]]))


def openssl(work: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=work, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {' '.join(arguments)}: {done.stderr}")


def certify(work: Path) -> None:
    """An authority, a certificate of the server by it, and the key that signs tokens of service accounts."""
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    openssl(work, "req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=authority")
    openssl(work, "req", *curve, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=kube-apiserver")
    (work / "server.ext").write_text("subjectAltName = IP:127.0.0.1\nextendedKeyUsage = serverAuth\n")
    openssl(
        work, "x509", "-req", "-in", "server.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial",
        "-extfile", "server.ext", "-out", "server.crt", "-days", "2",
    )
    openssl(work, "genrsa", "-out", "accounts.key", "2048")


class Cluster:
    """The API server as somebody with a token speaks to it."""

    def __init__(self, binaries: Path, work: Path, processes: Processes) -> None:
        self.binaries, self.work, self.processes = binaries, work, processes
        certify(work)
        self.etcd, peers, self.port = free_ports(3)
        self.tls = ssl.create_default_context(cafile=str(work / "ca.crt"))
        own, others = f"http://127.0.0.1:{self.etcd}", f"http://127.0.0.1:{peers}"
        processes.start("etcd", [
            str(binaries / "etcd"), "--data-dir", str(work / "etcd"), "--name", "one",
            "--listen-client-urls", own, "--advertise-client-urls", own, "--listen-peer-urls", others,
            "--initial-advertise-peer-urls", others, "--initial-cluster", f"one={others}",
        ])
        self.start_server()
        self.start_controller()

    def start_server(self) -> None:
        work = self.work
        (work / "tokens.csv").write_text(f'{ADMIN},admin,admin,"system:masters"\n')
        # Once per request, when it is answered.
        stages = ["RequestReceived", "ResponseStarted", "Panic"]
        policy = {"kind": "Policy", "rules": [{"level": "Metadata"}], "omitStages": stages}
        (work / "audit.json").write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", **policy}))
        options = {
            "advertise-address": "127.0.0.1",
            "audit-log-path": work / "audit.log",
            "audit-policy-file": work / "audit.json",
            "authorization-mode": "RBAC",
            "bind-address": "127.0.0.1",
            "cert-dir": work / "made",
            "etcd-servers": f"http://127.0.0.1:{self.etcd}",
            "secure-port": self.port,
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": work / "accounts.key",
            "service-account-signing-key-file": work / "accounts.key",
            "service-cluster-ip-range": "10.96.0.0/24",
            "tls-cert-file": work / "server.crt",
            "tls-private-key-file": work / "server.key",
            "token-auth-file": work / "tokens.csv",
        }
        arguments = [f"--{name}={value}" for name, value in options.items()]
        self.processes.start("kube-apiserver", [str(self.binaries / "kube-apiserver"), *arguments])
        eventually("the API server is ready", self.is_ready)

    def is_ready(self) -> bool:
        self.processes.lives("etcd")
        self.processes.lives("kube-apiserver")
        try:
            return self.answer("GET", "/readyz")[0] == 200
        except OSError:
            return False

    def start_controller(self) -> None:
        """ReplicaSets and revisions are made by the true one; no pods are."""
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{
                "name": "c",
                "cluster": {
                    "server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.work / "ca.crt")
                },
            }],
            "users": [{"name": "u", "user": {"token": ADMIN}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
        (self.work / "controller.json").write_text(json.dumps(config))
        self.processes.start("kube-controller-manager", [
            str(self.binaries / "kube-controller-manager"), f"--kubeconfig={self.work / 'controller.json'}",
            "--controllers=deployment", "--leader-elect=false", "--port=0", "--secure-port=0",
        ])

    def answer(self, method: str, path: str, body=None, media="application/json", token=ADMIN) -> tuple[int, object]:
        """Status and body, read as JSON where it is some."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=self.tls)
        fields = {"Authorization": f"Bearer {token}", "User-Agent": AGENT, "Accept": "application/json"}
        if body is not None:
            fields["Content-Type"] = media
            body = (body if isinstance(body, str) else json.dumps(body)).encode()
        try:
            connection.request(method, path, body, fields)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        try:
            return answer.status, json.loads(text)
        except ValueError:
            return answer.status, text

    def ask(self, method: str, path: str, body=None, media="application/json", token=ADMIN):
        status, said = self.answer(method, path, body, media, token)
        if status not in (200, 201, 202):
            raise Refused(status, said.get("message", "") if isinstance(said, dict) else said)
        return said

    def merge(self, path: str, change):
        return self.ask("PATCH", path, change, "application/merge-patch+json")

    def token(self, account: str) -> str:
        """As a kubelet asks for it (TokenRequest)."""
        wanted = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
        path = f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{account}/token"
        return self.ask("POST", path, wanted)["status"]["token"]

    def apply(self, text: str) -> list[str]:
        """The documents of a file, each as it stands there; their kinds."""
        places = {
            "Role": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
            "RoleBinding": "apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
            "ServiceAccount": "api/v1/namespaces/{}/serviceaccounts",
        }
        kinds = []
        for document in text.split("\n---\n"):
            kind = next(line.split(":", 1)[1].strip() for line in document.splitlines() if line.startswith("kind:"))
            self.ask("POST", "/" + places[kind].format(NAMESPACE), document, "application/yaml")
            kinds.append(kind)
        return kinds

    def requests(self, account: str) -> list[dict]:
        """What the account has asked for, but for what the checks asked in its name."""
        name = f"system:serviceaccount:{NAMESPACE}:{account}"
        lines = (self.work / "audit.log").read_text().splitlines()
        found = [json.loads(line) for line in lines if name in line]
        return [one for one in found if one["user"]["username"] == name and one.get("userAgent") != AGENT]
