//! Actions by Kubernetes, against an API server of the tests' own: method, path, media type, identity and body as its reference
//! states them (Kubernetes API reference, "Deployment v1 apps", "Scale v1 autoscaling", "HorizontalPodAutoscaler v1 autoscaling").

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::autoscaler::autoscaler;
use crate::support::eventually;
use crate::support::proxy::{Proxy, proxy};
use crate::support::secure::{Issued, TlsFront, issue};
use crate::support::upstream::{Seen, Upstream, status};

/// What it answers next in the place of its own answer: status, fields, message.
pub type Told = (u16, &'static str, &'static str);

/// A cluster with one Deployment.
pub struct Shared {
    replicas: u64,
    annotations: Value,
    /// `minReplicas`, `maxReplicas` and its annotations.
    pub autoscaler: Option<(u64, u64, Value)>,
    /// Whoever asks for the autoscalers next is answered once they have changed, with what they were.
    pub answers_late: bool,
    /// Its own annotations, and its ReplicaSets with the revision of each.
    pub own: Value,
    pub versions: Vec<Version>,
    token: &'static str,
    /// For the next PATCHes, the last first.
    told: Vec<Told>,
}

/// A ReplicaSet: its hash, its image, its revision and when it was made.
pub struct Version {
    hash: &'static str,
    image: &'static str,
    revision: u64,
    created: String,
}

impl Version {
    pub fn new(hash: &'static str, image: &'static str, revision: u64, minutes_ago: i64) -> Self {
        let created = jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes_ago);
        Self { hash, image, revision, created: format!("{created:.0}") }
    }

    fn object(&self) -> Value {
        let labels = json!({"app": "api", "pod-template-hash": self.hash});
        json!({
            "metadata": {
                "labels": labels.clone(),
                "creationTimestamp": self.created,
                "annotations": {REVISION: self.revision.to_string()},
                "ownerReferences": [{"uid": "1f", "controller": true}]
            },
            "spec": {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"image": self.image}]}}}
        })
    }
}

pub struct ApiServer {
    plain: Upstream,
    front: TlsFront,
    issued: Issued,
    pub shared: Arc<Mutex<Shared>>,
    dir: tempfile::TempDir,
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/shop/deployments/api";
const SCALE: &str = "/apis/apps/v1/namespaces/shop/deployments/api/scale";
const REPLICA_SETS: &str = "/apis/apps/v1/namespaces/shop/replicasets?labelSelector=app%3Dapi";
pub const REVISION: &str = "deployment.kubernetes.io/revision";
const AUTOSCALERS: &str = "/apis/autoscaling/v1/namespaces/shop/horizontalpodautoscalers";

fn answered(shared: &mut Shared, seen: &Seen) -> (u16, &'static str, Value) {
    let refused = |status, message: &str| (status, "", json!({"kind": "Status", "message": message}));
    if seen.fields("authorization") != [format!("Bearer {}", shared.token)] {
        return refused(401, "Unauthorized");
    }
    let method = seen.head.split(' ').next().unwrap_or_default();
    if method == "PATCH"
        && let Some((status, fields, message)) = shared.told.pop()
    {
        return (status, fields, json!({"kind": "Status", "message": message}));
    }
    let patch: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let media = seen.fields("content-type").first().copied().unwrap_or_default().to_owned();
    match (method, seen.path()) {
        ("GET", DEPLOYMENT) => {}
        ("PATCH", DEPLOYMENT) if media == "application/strategic-merge-patch+json" => {
            let more = patch.pointer("/spec/template/metadata/annotations").and_then(Value::as_object);
            for (name, value) in more.into_iter().flatten() {
                shared.annotations[name] = value.clone();
            }
        }
        ("PATCH", DEPLOYMENT) if media == "application/json-patch+json" => {
            if patch[0]["value"] != "7" {
                return refused(409, "the object has been modified");
            }
            rolled_back(shared, &patch);
        }
        ("GET", REPLICA_SETS) => {
            let mut items: Vec<Value> = shared.versions.iter().map(Version::object).collect();
            let mut others = Version::new("99", "of another", 90, 0).object();
            others["metadata"]["ownerReferences"][0]["uid"] = json!("2f");
            items.push(others);
            return (200, "", json!({"items": items}));
        }
        ("GET", SCALE) => {}
        ("PATCH", SCALE) if media == "application/merge-patch+json" => {
            if patch["metadata"]["resourceVersion"] != "7" {
                return refused(409, "the object has been modified");
            }
            let Some(replicas) = patch.pointer("/spec/replicas").and_then(Value::as_u64) else {
                return refused(422, "spec.replicas is missing");
            };
            shared.replicas = replicas;
        }
        ("GET", AUTOSCALERS) => {
            return (200, "", json!({"items": shared.autoscaler.iter().map(autoscaler).collect::<Vec<_>>()}));
        }
        ("PATCH", path)
            if path.strip_suffix("/web") == Some(AUTOSCALERS) && media == "application/merge-patch+json" =>
        {
            if patch["metadata"]["resourceVersion"] != "9" {
                return refused(409, "the object has been modified");
            }
            let Some(one) = shared.autoscaler.as_mut() else { return refused(404, "not found") };
            one.0 = patch["spec"]["minReplicas"].as_u64().unwrap_or(one.0);
            for (name, value) in patch["metadata"]["annotations"].as_object().into_iter().flatten() {
                one.2[name] = value.clone();
            }
            return (200, "", autoscaler(one));
        }
        ("PATCH", _) => return refused(415, "the media type is not supported"),
        _ => return refused(404, "not found"),
    }
    let replicas = shared.replicas;
    let object = json!({
        "metadata": {"name": "api", "uid": "1f", "resourceVersion": "7", "annotations": shared.own},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "api"}},
            "template": {"metadata": {"annotations": shared.annotations}}
        }
    });
    (200, "", object)
}

/// As the Deployment's controller does it: the ReplicaSet that has the template gets the next revision.
fn rolled_back(shared: &mut Shared, patch: &Value) {
    let newest = shared.versions.iter().map(|one| one.revision).max().expect("one runs");
    for one in patch.as_array().expect("a list") {
        let value = &one["value"];
        match (one["op"].as_str(), one["path"].as_str()) {
            (Some("replace"), Some("/metadata/resourceVersion")) => {}
            (Some("replace"), Some("/spec/template")) => {
                assert_eq!(value["metadata"]["labels"], json!({"app": "api"}), "without the hash");
                let image = value["spec"]["containers"][0]["image"].as_str().expect("an image");
                let found = shared.versions.iter_mut().find(|one| one.image == image).expect("it was there");
                found.revision = newest + 1;
                shared.own[REVISION] = json!(found.revision.to_string());
            }
            (Some("add"), Some(path)) => {
                let name = path.strip_prefix("/metadata/annotations/").expect("an annotation");
                shared.own[name] = value.clone();
            }
            _ => panic!("not asked for: {one}"),
        }
    }
}

impl ApiServer {
    pub fn start() -> Self {
        let shared = Shared {
            replicas: 3,
            annotations: json!({"team": "shop"}),
            autoscaler: None,
            answers_late: false,
            own: json!({REVISION: "2"}),
            versions: vec![Version::new("1a", "shop:1", 1, 9_000), Version::new("2b", "shop:2", 2, 5)],
            token: "first",
            told: Vec::new(),
        };
        let shared = Arc::new(Mutex::new(shared));
        let state = Arc::clone(&shared);
        let plain = Upstream::start(Arc::new(move |seen, stream| {
            let mut shared = state.lock().expect("not poisoned");
            let (status, fields, body) = answered(&mut shared, seen);
            if seen.path() == AUTOSCALERS && std::mem::take(&mut shared.answers_late) {
                let was = shared.autoscaler.clone();
                drop(shared);
                eventually("they have changed", || state.lock().expect("not poisoned").autoscaler != was);
            }
            let body = body.to_string();
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\n{fields}Content-Length: {length}\r\n\r\n"
            );
            stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
        }));
        let issued = issue(&["localhost"]);
        let front = TlsFront::start(&issued, plain.address);
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::write(dir.path().join("token"), "first\n").expect("writes");
        Self { plain, front, issued, shared, dir }
    }

    pub fn told(&self, told: &[Told]) {
        self.shared.lock().expect("not poisoned").told = told.iter().rev().copied().collect();
    }

    fn token(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    pub fn patches(&self) -> Vec<Seen> {
        self.plain.seen().into_iter().filter(|seen| seen.head.starts_with("PATCH ")).collect()
    }

    pub fn config(&self, backend: &Upstream, more: &str) -> String {
        format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                [upstreams.backend]
                endpoints = ["{}"]
                [kubernetes]
                server = "https://localhost:{}"
                token_file = {:?}
                ca_file = {:?}
                namespace = "shop"
                deployment = "api"
                max_replicas = 5
                {more}
                [plans.restart]
                services = ["backend"]
                steps = [{{ action = "restart_service", mode = "act" }}]
                max_attempts = 1
                verify_for = "1s"
                [plans.up]
                services = ["backend"]
                steps = [{{ action = "scale_up", mode = "act" }}]
                max_attempts = 1
                verify_for = "1s"
                [plans.back]
                services = ["backend"]
                steps = [{{ action = "rollback", mode = "act" }}]
                max_attempts = 1
                verify_for = "1s"
                [plans.down]
                services = ["backend"]
                steps = [{{ action = "scale_down", mode = "act" }}]
                max_attempts = 1
                verify_for = "1s"
            "#,
            backend.address,
            self.front.address.port(),
            self.token(),
            self.issued.ca,
        )
    }
}

/// Runs a plan to its end; result and words of its one step.
pub fn step(proxy: &Proxy, plan: &str) -> (String, String) {
    let run = proxy.run_of(plan, |run| run["outcome"].is_string());
    let text = |key: &str| run["steps"][0][key].as_str().unwrap_or_default().to_owned();
    (text("result"), text("detail"))
}

fn done(result: &str) -> impl Fn(&(String, String)) -> bool + '_ {
    move |(is, _)| is == result
}

#[test]
fn a_restart_is_one_patch_of_the_template_as_kubectl_writes_it() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let proxy = proxy(&api.config(&backend, "enabled = true"));
    let came = step(&proxy, "restart");
    assert!(done("done")(&came), "{came:?}");
    let patches = api.patches();
    assert_eq!((patches.len(), patches[0].path()), (1, DEPLOYMENT));
    assert_eq!(patches[0].fields("content-type"), ["application/strategic-merge-patch+json"]);
    let body: Value = serde_json::from_slice(&patches[0].body).expect("json");
    let template = body.pointer("/spec/template/metadata/annotations").expect("annotations").clone();
    assert!(
        template["kubectl.kubernetes.io/restartedAt"].as_str().is_some_and(|at| at.contains('T')),
        "{body}"
    );
    assert_eq!(body, json!({"spec": {"template": {"metadata": {"annotations": template}}}}), "nothing else");
}

#[test]
fn what_was_restarted_though_the_answer_was_lost_is_not_restarted_again() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let proxy = proxy(&api.config(&backend, "enabled = true"));
    let shared = Arc::clone(&api.shared);
    let took = Arc::new(Mutex::new(0));
    let count = Arc::clone(&took);
    api.plain.answer(Arc::new(move |seen, stream| {
        let (status, _, body) = answered(&mut shared.lock().expect("not poisoned"), seen);
        if seen.head.starts_with("PATCH ") {
            *count.lock().expect("not poisoned") += 1;
            return false; // it is done, and nobody hears of it
        }
        let body = body.to_string();
        let head = format!("HTTP/1.1 {status} Told\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(format!("{head}{body}").as_bytes()).is_ok()
    }));
    let (result, detail) = step(&proxy, "restart");
    assert_eq!((result.as_str(), *took.lock().expect("not poisoned")), ("done", 1), "{detail}");
}

#[test]
fn it_is_scaled_step_by_step_within_its_bounds() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let proxy = proxy(&api.config(&backend, "enabled = true"));
    let replicas = || api.shared.lock().expect("not poisoned").replicas;
    for wanted in [4, 5] {
        let came = step(&proxy, "up");
        assert!(done("done")(&came), "{came:?}");
        assert_eq!(replicas(), wanted);
    }
    let patch = api.patches().pop().expect("one");
    assert_eq!((patch.path(), patch.fields("content-type")), (SCALE, vec!["application/merge-patch+json"]));
    let body: Value = serde_json::from_slice(&patch.body).expect("json");
    assert_eq!(body, json!({"spec": {"replicas": 5}, "metadata": {"resourceVersion": "7"}}));
    let came = step(&proxy, "up");
    assert!(done("unneeded")(&came) && replicas() == 5, "its bound: {came:?}");
    let came = step(&proxy, "down");
    assert!(done("done")(&came) && replicas() == 4, "{came:?}");
}

#[test]
fn until_it_is_enabled_it_is_only_said() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let proxy = proxy(&api.config(&backend, ""));
    for plan in ["restart", "up", "down", "back"] {
        let came = step(&proxy, plan);
        assert!(done("dry_run")(&came), "{came:?}");
    }
    assert_eq!(api.plain.hits(), 0);
}

#[test]
fn what_may_pass_is_tried_again_and_what_will_not_is_told_in_the_servers_words() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let proxy = proxy(&api.config(&backend, "enabled = true"));
    api.told(&[(409, "", "modified"), (429, "Retry-After: 1\r\n", "too many"), (500, "", "etcd")]);
    let began = std::time::Instant::now();
    let came = step(&proxy, "restart");
    assert!(done("done")(&came) && began.elapsed().as_millis() >= 1_000, "{came:?}");
    assert_eq!(api.patches().len(), 4);
    api.told(&[(403, "", "deployments.apps \"api\" is forbidden")]);
    let (result, detail) = step(&proxy, "restart");
    assert_eq!(result, "failed");
    assert!(detail.contains("grant verb patch on resource deployments of group apps"), "{detail}");
    assert!(detail.contains("is forbidden"), "{detail}");
    api.told(&[(422, "", "spec.replicas: Invalid value")]);
    let (result, detail) = step(&proxy, "up");
    assert!(result == "failed" && detail.contains("422: spec.replicas: Invalid value"), "{result}: {detail}");
    let before = api.patches().len();
    api.told(&[(503, "Retry-After: 0\r\n", "busy"); 9]);
    let (result, detail) = step(&proxy, "restart");
    assert!(result == "failed" && detail.contains("503: busy (5 attempts)"), "{result}: {detail}");
    assert_eq!(api.patches().len() - before, 5, "no more than its bound");
}

#[test]
fn a_token_that_was_rotated_is_read_anew_and_one_that_is_not_accepted_is_told() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let proxy = proxy(&api.config(&backend, "enabled = true"));
    let came = step(&proxy, "restart");
    assert!(done("done")(&came), "{came:?}");
    std::fs::write(api.token(), "second").expect("writes");
    api.shared.lock().expect("not poisoned").token = "second";
    let came = step(&proxy, "restart");
    assert!(done("done")(&came), "the new one: {came:?}");
    api.shared.lock().expect("not poisoned").token = "third";
    let (result, detail) = step(&proxy, "restart");
    assert!(result == "failed" && detail.contains("the token is not accepted"), "{result}: {detail}");
}

#[test]
fn a_server_that_another_authority_vouches_for_gets_no_token() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let other = issue(&["localhost"]);
    let config = api.config(&backend, "enabled = true");
    let wrong = config.replace(&format!("{:?}", api.issued.ca), &format!("{:?}", other.ca));
    let proxy = proxy(&wrong);
    let (result, detail) = step(&proxy, "restart");
    assert!(result == "failed" && detail.contains("TLS"), "{result}: {detail}");
    assert_eq!(api.plain.hits(), 0, "nothing was sent");
}
