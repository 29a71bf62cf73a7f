//! A Deployment that an autoscaler owns: it is told of a higher `minReplicas`, and let down again by whoever is there.

use serde_json::{Value, json};

use crate::kubernetes::{ApiServer, step};
use crate::support::eventually;
use crate::support::proxy::{proxy, proxy_in};
use crate::support::upstream::{Upstream, status};

/// As the API server shows it.
pub fn autoscaler((least, most, annotations): &(u64, u64, Value)) -> Value {
    json!({
        "metadata": {"name": "web", "resourceVersion": "9", "annotations": annotations},
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "api"}, "minReplicas": least, "maxReplicas": most
        },
        "status": {"currentReplicas": 4}
    })
}

fn shown(api: &ApiServer) -> (u64, Value) {
    let shared = api.shared.lock().expect("not poisoned");
    shared
        .autoscaler
        .as_ref()
        .map(|(least, _, annotations)| (*least, annotations.clone()))
        .expect("it is there")
}

fn changed(api: &ApiServer, change: impl FnOnce(&mut (u64, u64, Value))) {
    change(api.shared.lock().expect("not poisoned").autoscaler.as_mut().expect("it is there"));
}

/// Its time is over.
fn ends(api: &ApiServer) {
    changed(api, |one| one.2["strop-min-replicas-until"] = json!("2020-01-01T00:00:00Z"));
}

#[test]
fn an_autoscaler_is_raised_for_a_while_and_let_down_by_another_process() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    api.shared.lock().expect("not poisoned").autoscaler = Some((3, 6, json!({"team": "shop"})));
    let config = api.config(&backend, "enabled = true").replace("max_replicas = 5", "max_replicas = 50");
    let mut first = proxy(&config);
    let (result, detail) = step(&first, "up");
    assert_eq!((result.as_str(), shown(&api).0), ("done", 5), "four run: {detail}");
    let (result, detail) = step(&first, "up");
    assert_eq!((result.as_str(), shown(&api).0), ("done", 6), "{detail}");
    let (result, detail) = step(&first, "up");
    assert_eq!((result.as_str(), shown(&api).0), ("unneeded", 6), "its own most: {detail}");
    let (result, detail) = step(&first, "down");
    assert!(result == "not_possible" && detail.contains("it is not fought"), "{detail}");
    assert_eq!(
        (&shown(&api).1["strop-min-replicas-was"], &shown(&api).1["team"]),
        (&json!("3"), &json!("shop"))
    );
    let scales = api.patches().iter().filter(|seen| seen.path().ends_with("/scale")).count();
    assert_eq!(scales, 0, "the Deployment itself is the autoscaler's");
    first.signal("KILL");
    let home = first.leave_behind();
    ends(&api);
    let _second = proxy_in(home, &config);
    eventually("it has its own again", || shown(&api).0 == 3);
    assert_eq!(shown(&api).1["strop-min-replicas-until"], Value::Null);
}

#[test]
fn what_somebody_else_has_set_meanwhile_stays() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    api.shared.lock().expect("not poisoned").autoscaler = Some((3, 10, json!({})));
    let proxy =
        proxy(&api.config(&backend, "enabled = true").replace("max_replicas = 5", "max_replicas = 50"));
    let (result, detail) = step(&proxy, "up");
    assert_eq!((result.as_str(), shown(&api).0), ("done", 5), "{detail}");
    changed(&api, |one| one.0 = 8);
    ends(&api);
    eventually("it is let go", || shown(&api).1["strop-min-replicas-until"] == Value::Null);
    assert_eq!(shown(&api).0, 8);
}

/// One that began before the raise, and ends after it.
#[test]
fn a_look_that_is_late_forgets_no_raise() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    {
        let mut shared = api.shared.lock().expect("not poisoned");
        (shared.autoscaler, shared.answers_late) = (Some((3, 10, json!({}))), true);
    }
    let config = api.config(&backend, "enabled = true").replace("max_replicas = 5", "max_replicas = 50");
    let proxy = proxy(&config);
    eventually("it is looked for", || !api.shared.lock().expect("not poisoned").answers_late);
    let (result, detail) = step(&proxy, "up");
    assert_eq!((result.as_str(), shown(&api).0), ("done", 5), "{detail}");
    ends(&api);
    eventually("it has its own again", || shown(&api).0 == 3);
}
