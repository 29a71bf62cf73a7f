use crate::support::eventually;
use crate::support::proxy::ingress_to;
use crate::support::upstream::{Upstream, status};

#[test]
fn memory_processor_and_the_volume_of_the_store_are_shares_of_what_there_is() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let used = |what: &str| {
        let health = proxy.sre("health/comprehensive");
        let all = health["resources"].as_array().expect("a list").clone();
        all.iter().find(|one| one["resource"] == what).and_then(|one| one["used"].as_f64())
    };
    for what in ["memory", "disk", "cpu"] {
        // A share of processor time is there from the second sample on.
        eventually(what, || used(what).is_some());
        assert!(used(what).is_some_and(|used| used > 0.0 && used < 1.1), "{what}: {:?}", used(what));
        let metric = proxy.metric("sre_resource_utilization_ratio", &format!("resource=\"{what}\""));
        assert!(metric > 0.0, "{what}: {metric}");
    }
    assert_eq!(used("network"), None, "nobody said what it carries");
}
