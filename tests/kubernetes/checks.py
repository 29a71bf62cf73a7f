"""What each action of Strop leaves at a real API server, and that the shipped role allows that and nothing else."""

from __future__ import annotations

import copy
import signal
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

from cluster import ELSEWHERE, NAMESPACE, Cluster, Processes, Refused, eventually
from roles import ACCOUNT, NEEDS, Roles
from sidecar import PLANS, Sidecar

SHIPPED = Path(__file__).resolve().parents[2] / "deploy/kubernetes"
NAME = "bookedbarber"
OTHER = "another"
REVISION = "deployment.kubernetes.io/revision"
RESTARTED = "kubectl.kubernetes.io/restartedAt"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
DEPLOYMENT = f"{APPS}/deployments/{NAME}"
SCALE = f"{DEPLOYMENT}/scale"


class Checks:
    """A line for each."""

    def __init__(self) -> None:
        self.failed = self.passed = 0

    def that(self, what: str, holds, seen="") -> None:
        if holds:
            self.passed += 1
            print(f"ok      {what}", flush=True)
        else:
            self.failed += 1
            print(f"FAILED  {what}: {seen}", flush=True)

    def part(self, name: str) -> None:
        print(f"\n{name}", flush=True)


def image_of(found: dict) -> str:
    return found["spec"]["template"]["spec"]["containers"][0]["image"]


def deployment(name: str, image: str) -> dict:
    labels = {"app": name}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "backend", "image": image}]}}
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": pods}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "labels": labels}, "spec": spec}


def autoscaler(name: str, target: str) -> dict:
    """With what the first version of the API had no fields for."""
    owned = {"apiVersion": "apps/v1", "kind": "Deployment", "name": target}
    memory = {"name": "memory", "target": {"type": "Utilization", "averageUtilization": 70}}
    slowly = {"scaleDown": {"stabilizationWindowSeconds": 120, "policies": [{"type": "Pods", "value": 1, "periodSeconds": 60}]}}
    spec = {"scaleTargetRef": owned, "minReplicas": 3, "maxReplicas": 6, "behavior": slowly}
    spec["metrics"] = [{"type": "Resource", "resource": memory}]
    return {"kind": "HorizontalPodAutoscaler", "metadata": {"name": name}, "spec": spec}


class Run:
    """Everything that is there for the checks."""

    def __init__(self, check: Checks, binaries: Path, strop: Path, work: Path, processes: Processes) -> None:
        self.check = check
        self.cluster = Cluster(binaries, work, processes)
        self.strop = Sidecar(strop, work, self.cluster, NAME)
        # The newest version of autoscalers that has all their fields.
        served = [one["version"] for one in self.cluster.ask("GET", "/apis/autoscaling")["versions"]]
        self.newest = next(one for one in ("v2", "v2beta2") if one in served)
        self.autoscalers = f"/apis/autoscaling/{self.newest}/namespaces/{NAMESPACE}/horizontalpodautoscalers"

    # What is there.

    def get(self, path: str) -> dict:
        return self.cluster.ask("GET", path)

    def revision(self) -> str:
        """Once the controller has seen the newest template."""

        def seen():
            found = self.get(DEPLOYMENT)
            known = found["status"].get("observedGeneration", 0) >= found["metadata"]["generation"]
            return found["metadata"].get("annotations", {}).get(REVISION) if known else None

        return eventually("the controller has given a revision", seen)

    def image(self) -> str:
        return image_of(self.get(DEPLOYMENT))

    def roll_out(self, image: str) -> str:
        containers = [{"name": "backend", "image": image}]
        self.cluster.merge(DEPLOYMENT, {"spec": {"template": {"spec": {"containers": containers}}}})
        return self.revision()

    def set_up(self) -> None:
        for name in (NAMESPACE, ELSEWHERE):
            self.cluster.ask("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        for namespace, name in ((NAMESPACE, NAME), (NAMESPACE, OTHER), (ELSEWHERE, NAME)):
            self.cluster.ask("POST", f"/apis/apps/v1/namespaces/{namespace}/deployments", deployment(name, "shop:1"))
        self.revision()
        kinds = self.cluster.apply((SHIPPED / "role.yaml").read_text())
        self.check.part("the shipped role, as it stands there")
        self.check.that(f"role.yaml is taken: {', '.join(kinds)}", set(kinds) >= {"Role", "ServiceAccount", "RoleBinding"}, kinds)
        self.strop.identify(self.cluster.token(ACCOUNT))

    # What is done.

    def dry_run(self) -> None:
        self.check.part("until it is enabled")
        self.strop.start(enabled=False)
        before = self.get(DEPLOYMENT)["metadata"]["resourceVersion"]
        for plan in PLANS:
            came = self.strop.step(plan)
            self.check.that(f"{PLANS[plan]} is only said", came[0] == "dry_run", came)
        self.strop.end()
        asked = self.cluster.requests(ACCOUNT)
        self.check.that("the API server was not asked anything", not asked, [one["requestURI"] for one in asked])
        self.check.that("the Deployment is as it was", self.get(DEPLOYMENT)["metadata"]["resourceVersion"] == before)

    def restart(self) -> None:
        before, revision = self.get(DEPLOYMENT), self.revision()
        came = self.strop.step("restart")
        after = self.get(DEPLOYMENT)
        self.check.that("restart_service is done", came[0] == "done", came)
        template = copy.deepcopy(after["spec"]["template"])
        notes = template["metadata"].pop("annotations", {})
        at = datetime.fromisoformat(notes.get(RESTARTED, "2000-01-01T00:00:00Z").replace("Z", "+00:00"))
        age = abs((datetime.now(timezone.utc) - at).total_seconds())
        self.check.that(f"{RESTARTED} is now", age < 60, notes)
        self.check.that("strop-act says by which act", notes.get("strop-act"), notes)
        kept = copy.deepcopy(before["spec"]["template"])
        kept["metadata"].pop("annotations", None)
        self.check.that("nothing else of the template has changed", template == kept, template)
        now = self.revision()
        self.check.that(f"the controller rolls it out: revision {revision}, then {now}", int(now) == int(revision) + 1)

    def scale(self) -> None:
        def has() -> int:
            return self.get(SCALE)["spec"]["replicas"]

        for plan, wanted in (("up", 4), ("up", 5), ("down", 4), ("down", 3)):
            came = self.strop.step(plan)
            self.check.that(f"{PLANS[plan]} is done: {wanted} replicas", (came[0], has()) == ("done", wanted), (came, has()))
        came = self.strop.step("down")
        self.check.that("scale_down below min_replicas is unneeded", (came[0], has()) == ("unneeded", 3), (came, has()))

    def roll_back(self) -> None:
        good = self.image()
        template = self.get(DEPLOYMENT)["spec"]["template"]
        bad = self.roll_out("shop:broken")
        came = self.strop.step("back")
        self.check.that("rollback is done", came[0] == "done", came)
        now = self.revision()
        now_has = self.get(DEPLOYMENT)["spec"]["template"]
        self.check.that(f"the template is that of the version before ({good})", now_has == template, now_has)
        self.check.that(f"the controller rolls it out: revision {bad}, then {now}", int(now) == int(bad) + 1)
        sets = self.get(f"{APPS}/replicasets?labelSelector=app%3D{NAME}")["items"]
        of = {one["metadata"]["annotations"][REVISION]: image_of(one) for one in sets}
        self.check.that("no ReplicaSet was made for it", of.get(now) == good and bad in of, of)
        came = self.strop.step("back")
        self.check.that("once more is unneeded", (came[0], self.revision()) == ("unneeded", now), came)

    def raise_autoscaler(self) -> None:
        path = f"{self.autoscalers}/{NAME}"
        self.cluster.ask("POST", self.autoscalers, {"apiVersion": f"autoscaling/{self.newest}", **autoscaler(NAME, NAME)})
        self.cluster.merge(f"{path}/status", {"status": {"currentReplicas": 4, "desiredReplicas": 4, "conditions": []}})
        before = self.get(path)["spec"]
        came = self.strop.step("up")
        found = self.get(path)
        notes = found["metadata"].get("annotations", {})
        raised = (came[0], found["spec"]["minReplicas"]) == ("done", 5)
        self.check.that("scale_up raises minReplicas: 3, then 5 (4 run)", raised, came)
        self.check.that("what it was stands beside it", notes.get("strop-min-replicas-was") == "3", notes)
        rest = {**found["spec"], "minReplicas": 3}
        self.check.that(f"metrics and behavior ({self.newest}) are as they were", rest == before, rest)
        self.check.that("the Deployment is not scaled itself", self.get(SCALE)["spec"]["replicas"] == 3)
        came = self.strop.step("down")
        self.check.that("scale_down does not fight it", came[0] == "not_possible" and "not fought" in came[1], came)
        over = {"metadata": {"annotations": {"strop-min-replicas-until": "2020-01-01T00:00:00Z"}}}
        self.cluster.merge(path, over)
        eventually("it is let down", lambda: self.get(path)["spec"]["minReplicas"] == 3)
        found = self.get(path)
        left = [one for one in found["metadata"].get("annotations", {}) if one.startswith("strop-min")]
        self.check.that("it is let down when its time is over", found["spec"] == before and not left, found)
        self.cluster.ask("DELETE", path)

    def tokens(self) -> None:
        self.check.part("the token rotates")
        self.strop.end()
        self.strop.identify("of nobody")
        self.strop.start(enabled=True)
        came = self.strop.step("restart")
        told = came[0] == "failed" and "token is not accepted" in came[1]
        self.check.that("one that the API server does not know is told", told, came)
        self.strop.identify(self.cluster.token(ACCOUNT))
        came = self.strop.step("restart")
        self.check.that("the next one is read without a restart", came[0] == "done", came)

    def without_rights(self, roles: Roles) -> None:
        """With something to do for each action."""
        self.check.part("where a part of the role is missing")
        self.roll_out("shop:broken again")
        self.cluster.merge(SCALE, {"spec": {"replicas": 4}})
        for resource, verb in NEEDS:
            owned = (resource, verb) == ("horizontalpodautoscalers", "patch")
            if owned:
                body = {"apiVersion": f"autoscaling/{self.newest}", **autoscaler(NAME, NAME)}
                self.cluster.ask("POST", self.autoscalers, body)
            roles.without(resource, verb)
            if owned:
                self.cluster.ask("DELETE", f"{self.autoscalers}/{NAME}")
        roles.unbound()

    def all(self) -> None:
        self.set_up()
        roles = Roles(self.cluster, self.strop, self.check)
        needed = {(one[2], one[0]) for one in roles.rights} == set(NEEDS)
        self.check.that("each right of the role has its action", needed, roles.rights)
        roles.exact()
        roles.refused()
        self.dry_run()
        self.check.part("what the actions leave at the API server")
        self.strop.start(enabled=True)
        self.restart()
        self.scale()
        self.roll_back()
        self.raise_autoscaler()
        self.tokens()
        self.without_rights(roles)
        roles.used()


def main() -> int:
    binaries, strop = (Path(one).resolve() for one in sys.argv[1:3])
    with tempfile.TemporaryDirectory(prefix="strop-kubernetes-") as scratch:
        work = Path(scratch)
        processes, check = Processes(work), Checks()
        try:
            run = Run(check, binaries, strop, work, processes)
            print(f"kube-apiserver {run.get('/version')['gitVersion']}, {strop.name}")
            run.all()
        except (OSError, LookupError, Refused, RuntimeError) as error:
            check.that("and so on to the end", False, f"{type(error).__name__}: {error}")
            for log in sorted(work.glob("*.log")):
                if log.name != "audit.log":
                    print(f"--- {log.name}", *log.read_text(errors="replace").splitlines()[-15:], sep="\n", file=sys.stderr)
        finally:
            processes.end_all()
    print(f"\n{check.passed} ok, {check.failed} FAILED")
    return 1 if check.failed else 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main())
