"""What the shipped role allows at a real API server, and what an action says where a part of it is missing."""

from __future__ import annotations

import copy

from cluster import ELSEWHERE, NAMESPACE, Cluster, eventually
from sidecar import PLANS, Sidecar

ACCOUNT = "strop"
RBAC = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{NAMESPACE}"
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubject{}reviews"
MERGE = "application/merge-patch+json"

# The plans that need it, by resource and verb.
NEEDS = {
    ("deployments", "get"): ("restart", "back"),
    ("deployments", "patch"): ("restart", "back"),
    ("replicasets", "list"): ("back",),
    ("deployments/scale", "get"): ("up", "down"),
    ("deployments/scale", "patch"): ("up", "down"),
    ("horizontalpodautoscalers", "list"): ("up", "down"),
    ("horizontalpodautoscalers", "patch"): ("up",),
}


def rights(rules: list[dict]) -> set[tuple[str, str, str, str]]:
    """One by one: verb, group, resource, and the name of the one object, if it is of one alone."""
    return {
        (verb, group, resource, name)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for name in rule.get("resourceNames") or [""]
    }


class Roles:
    def __init__(self, cluster: Cluster, strop: Sidecar, check) -> None:
        self.cluster, self.strop, self.check, self.name = cluster, strop, check, strop.deployment
        self.token = cluster.token(ACCOUNT)
        self.role = cluster.ask("GET", f"{RBAC}/roles/{ACCOUNT}")
        self.rights = rights(self.role["rules"])

    def reviewed(self, namespace: str) -> set[tuple[str, str, str, str]]:
        body = {"spec": {"namespace": namespace}}
        review = self.cluster.ask("POST", REVIEWS.format("rules"), body, token=self.token)
        return rights(review["status"]["resourceRules"])

    def may(self, right: tuple[str, str, str, str]) -> bool:
        verb, group, resource, name = right
        resource, _, sub = resource.partition("/")
        of = {"namespace": NAMESPACE, "verb": verb, "group": group, "resource": resource, "subresource": sub, "name": name}
        body = {"spec": {"resourceAttributes": of}}
        return self.cluster.ask("POST", REVIEWS.format("access"), body, token=self.token)["status"]["allowed"]

    def write(self, rules: list[dict]) -> None:
        """Puts these in the place of the role's own, and waits until the API server goes by them."""
        self.cluster.merge(f"{RBAC}/roles/{ACCOUNT}", {"rules": rules})
        wanted = rights(rules)
        eventually("the role is in force", lambda: all(self.may(one) == (one in wanted) for one in self.rights))

    def exact(self) -> None:
        self.check.part("what the role allows")
        # What everybody may do is also allowed elsewhere.
        everybodys = self.reviewed(ELSEWHERE)
        here = self.reviewed(NAMESPACE) - everybodys
        self.check.that("the API server has the rules of the file, and no more", here == self.rights, here ^ self.rights)
        workloads = {one for one in everybodys if one[1] in ("", "apps", "autoscaling", "rbac.authorization.k8s.io", "*")}
        self.check.that("in another namespace nothing is allowed", not workloads, workloads)
        for right in sorted(self.rights):
            self.check.that(f"allowed: {' '.join(filter(None, right))}", self.may(right))

    def refused(self) -> None:
        self.check.part("what it does not allow (real requests)")
        apps, elsewhere = (f"/apis/apps/v1/namespaces/{one}/deployments" for one in (NAMESPACE, ELSEWHERE))
        autoscalers = f"/apis/autoscaling/v1/namespaces/{NAMESPACE}/horizontalpodautoscalers"
        core = f"/api/v1/namespaces/{NAMESPACE}"
        for method, path in (
            ("PATCH", f"{apps}/another"),
            ("GET", f"{apps}/another"),
            ("PATCH", f"{apps}/another/scale"),
            ("GET", f"{apps}/another/scale"),
            ("PATCH", f"{autoscalers}/another"),
            ("PATCH", f"{elsewhere}/{self.name}"),
            ("GET", f"{elsewhere}/{self.name}"),
            ("GET", apps),
            ("POST", apps),
            ("PUT", f"{apps}/{self.name}"),
            ("DELETE", f"{apps}/{self.name}"),
            ("DELETE", apps),
            ("PATCH", f"{apps}/{self.name}/status"),
            ("PUT", f"{apps}/{self.name}/scale"),
            ("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets/one"),
            ("DELETE", f"/apis/apps/v1/namespaces/{NAMESPACE}/replicasets/one"),
            ("PATCH", f"/apis/apps/v1/namespaces/{NAMESPACE}/statefulsets/one"),
            ("POST", autoscalers),
            ("DELETE", f"{autoscalers}/{self.name}"),
            ("GET", f"{core}/pods"),
            ("DELETE", f"{core}/pods/one"),
            ("POST", f"{core}/pods"),
            ("POST", f"{core}/pods/one/exec"),
            ("GET", f"{core}/secrets"),
            ("GET", f"{core}/secrets/one"),
            ("GET", f"{core}/configmaps/one"),
            ("POST", f"{core}/serviceaccounts/{ACCOUNT}/token"),
            ("PATCH", f"{RBAC}/roles/{ACCOUNT}"),
            ("POST", f"{RBAC}/rolebindings"),
            ("GET", "/api/v1/namespaces"),
            ("GET", "/api/v1/nodes"),
        ):
            body = {} if method in ("PATCH", "POST", "PUT") else None
            media = MERGE if method == "PATCH" else "application/json"
            status, said = self.cluster.answer(method, path, body, media, self.token)
            self.check.that(f"refused: {method} {path}", status == 403, (status, said))

    def changed(self) -> tuple:
        """Another one, once anything was done."""
        deployment = self.cluster.ask("GET", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{self.name}")
        autoscalers = self.cluster.ask("GET", f"/apis/autoscaling/v1/namespaces/{NAMESPACE}/horizontalpodautoscalers")
        owned = [(one["spec"], one["metadata"].get("annotations")) for one in autoscalers["items"]]
        return deployment["spec"], deployment["metadata"]["annotations"].get("strop-act"), owned

    def without(self, resource: str, verb: str) -> None:
        """Each action that needs this says what is missing, and leaves all as it was."""
        rules = copy.deepcopy(self.role["rules"])
        right = next(one for one in self.rights if (one[2], one[0]) == (resource, verb))
        for rule in rules:
            if resource in rule["resources"]:
                rule["verbs"] = [one for one in rule["verbs"] if one != verb]
        self.write([rule for rule in rules if rule["verbs"]])
        wanted = f"the role does not allow it: grant verb {verb} on resource {resource} of group {right[1]}: "
        for plan in NEEDS[resource, verb]:
            before, came = self.changed(), self.strop.step(plan)
            told = came[0] == "failed" and came[1].startswith(wanted) and ": 403: " in came[1] and "is forbidden" in came[1]
            untouched = self.changed() == before
            self.check.that(f"without {verb} {resource}: {PLANS[plan]} says so, and nothing is done", told and untouched, came)
        self.write(self.role["rules"])

    def unbound(self) -> None:
        """The role is not given to anybody."""
        binding = self.cluster.ask("DELETE", f"{RBAC}/rolebindings/{ACCOUNT}")
        eventually("nothing is allowed", lambda: not any(self.may(one) for one in self.rights))
        for plan in PLANS:
            before, came = self.changed(), self.strop.step(plan)
            told = came[0] == "failed" and "the role does not allow it" in came[1] and ": 403: " in came[1]
            self.check.that(f"without a binding: {PLANS[plan]} says so", told and self.changed() == before, (came, binding))

    def used(self) -> None:
        """By the API server's audit log: what Strop was allowed to do and did, beside what the role allows."""
        self.check.part("what Strop has asked for in all this (audit log)")
        done, asked = set(), set()
        for one in self.cluster.requests(ACCOUNT):
            of = one.get("objectRef") or {}
            resource = "/".join(filter(None, (of.get("resource"), of.get("subresource"))))
            request = (one["verb"], of.get("apiGroup", ""), resource, of.get("name", ""))
            asked.add((*request, of.get("namespace", "")))
            if one["responseStatus"]["code"] < 400:
                done.add(request)
        for right in sorted(self.rights):
            using = [one for one in done if one[:3] == right[:3] and right[3] in ("", one[3])]
            self.check.that(f"used: {' '.join(filter(None, right))}", using, sorted(done))
        covered = {one for one in asked for right in self.rights if one[:3] == right[:3] and right[3] in ("", one[3])}
        strays = {one for one in asked if one not in covered or one[4] != NAMESPACE}
        self.check.that("and nothing that the role does not allow was asked for", not strays, strays)
