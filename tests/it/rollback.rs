//! Going back to the version before, against the API server of the tests' own.

use crate::kubernetes::{ApiServer, REVISION, Version, step};
use crate::support::proxy::proxy;
use crate::support::upstream::{Upstream, status};

#[test]
fn a_version_that_was_just_rolled_out_is_taken_back_once() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let proxy = proxy(&api.config(&backend, "enabled = true"));
    api.told(&[(409, "", "modified"), (503, "Retry-After: 0\r\n", "busy")]);
    let (result, detail) = step(&proxy, "back");
    assert_eq!(
        (result.as_str(), detail.as_str()),
        ("done", "deployment api is taken back from revision 2 to 1")
    );
    assert_eq!(api.shared.lock().expect("not poisoned").own[REVISION], "3", "the first version has it");
    let patches = api.patches().len();
    let (result, detail) = step(&proxy, "back");
    assert_eq!((result.as_str(), api.patches().len()), ("unneeded", patches), "no way to and fro: {detail}");
}

#[test]
fn what_is_not_a_version_that_has_just_broken_is_not_taken_back() {
    let (backend, api) = (Upstream::start(status(200)), ApiServer::start());
    let proxy = proxy(&api.config(&backend, "enabled = true"));
    let refused = |versions: Vec<Version>, wanted: &str| {
        api.shared.lock().expect("not poisoned").versions = versions;
        let (result, detail) = step(&proxy, "back");
        assert!(detail.contains(wanted), "{detail}");
        result
    };
    let old = || Version::new("1a", "shop:1", 1, 9_000);
    let since = vec![old(), Version::new("2b", "shop:2", 2, 61)];
    assert_eq!(refused(since, "longer than 60 min"), "not_possible");
    assert_eq!(refused(vec![Version::new("2b", "shop:2", 2, 5)], "no version before"), "not_possible");
    // People went back by hand: what runs is the old one, with a new number.
    let by_hand = vec![Version::new("1a", "shop:1", 2, 9_000), Version::new("2b", "shop:2", 1, 5)];
    assert_eq!(refused(by_hand, "longer than 60 min"), "not_possible");
    assert_eq!(refused(vec![old()], "no ReplicaSet of deployment api"), "failed");
    assert_eq!(api.patches().len(), 0);
}
