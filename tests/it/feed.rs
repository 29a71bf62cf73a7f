use std::io::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::proxy::{Proxy, TOKEN, ingress_to, with_token};
use crate::support::raw::Response;
use crate::support::tools::python;
use crate::support::upstream::{Upstream, status};

/// The entries, as a reader of XML that knows RFC 4287 finds them.
fn entries(feed: &Response) -> Vec<Value> {
    assert_eq!(feed.status, 200, "{}", feed.text());
    let mut command = python("with_atom.py");
    let mut reader = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
    reader.stdin.take().expect("piped").write_all(&feed.body).expect("reads");
    let read = reader.wait_with_output().expect("ends");
    assert!(read.status.success(), "{}", feed.text());
    serde_json::from_slice(&read.stdout).expect("JSON")
}

fn feed(proxy: &Proxy, query: &str) -> Vec<Value> {
    entries(&proxy.admin_get(&format!("/api/v2/sre/incidents.atom{query}")))
}

fn open(proxy: &Proxy, title: &str, severity: &str) -> String {
    let order = json!({ "title": title, "severity": severity }).to_string();
    let opened = proxy.ask("POST", "test/incident", "", &order);
    assert_eq!(opened.status, 200, "{}", opened.text());
    opened.json()["incident"]["id"].as_str().or(opened.json()["id"].as_str()).expect("an id").to_owned()
}

#[test]
fn an_incident_keeps_its_name_in_the_feed_and_is_newer_when_it_gets_somewhere() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let empty = proxy.admin_get("/api/v2/sre/incidents.atom");
    assert_eq!(empty.field("content-type"), Some("application/atom+xml; charset=utf-8"));
    assert_eq!(entries(&empty), Vec::<Value>::new());
    let hostile = "</title><script>alert(1)</script> ]]> & \"q\" \u{1b}[31m \u{202e}turned \u{1f30a}";
    let id = open(&proxy, hostile, "critical");
    let other = open(&proxy, "another", "low");
    eventually("both are in it", || feed(&proxy, "").len() == 2);
    let all = feed(&proxy, "");
    let find = |all: &[Value], id: &str| {
        let name = format!("urn:strop:incident:{id}");
        all.iter().find(|one| one["id"] == name).cloned().expect("its name")
    };
    let before = find(&all, &id);
    let title = before["title"].as_str().expect("a title");
    assert!(title.contains("</title><script>alert(1)</script> ]]> & \"q\""), "it is text: {title}");
    assert!(!title.contains(['\u{1b}', '\u{202e}']) && title.contains('\u{1f30a}'), "{title}");
    assert!(title.ends_with("(drill, critical, open)"), "{title}");
    assert_eq!(before["links"]["related"], format!("/api/v2/sre/incidents/{id}"));
    let terms = before["categories"].as_array().expect("terms");
    assert!(terms.contains(&"critical".into()) && terms.contains(&"drill".into()), "{terms:?}");
    assert_eq!(feed(&proxy, "?severity=low").len(), 1);
    assert_eq!(feed(&proxy, "?service=nothing").len(), 0);
    assert_eq!(proxy.admin_get("/api/v2/sre/incidents.atom?severity=lo").status, 400);

    let resolve = |id: &str| {
        let order = json!({ "actor": "ann", "reason": "a test", "force": true }).to_string();
        assert_eq!(proxy.ask("POST", &format!("incidents/{id}/resolve"), "", &order).status, 200);
    };
    resolve(&id);
    eventually("it is told to be over", || {
        find(&feed(&proxy, ""), &id)["title"].as_str().is_some_and(|title| title.ends_with("resolved)"))
    });
    let after = find(&feed(&proxy, ""), &id);
    assert_eq!(after["published"], before["published"]);
    assert!(after["updated"].as_str() > before["updated"].as_str(), "{after:#}");
    assert!(after["summary"].as_str().expect("a summary").contains("It was over at "), "{after:#}");
    assert_eq!(find(&feed(&proxy, ""), &other)["updated"], find(&all, &other)["updated"], "no news of it");
}

#[test]
fn a_reader_that_has_it_already_is_told_so_and_one_without_the_token_nothing() {
    let (backend, dir) = (Upstream::start(status(200)), tempfile::tempdir().expect("a directory"));
    let proxy = with_token(backend.address, dir.path(), "", 0);
    let ask = |fields: &str| proxy.ask("GET", "incidents.atom", fields, "");
    assert_eq!(ask("").status, 401);
    let bearer = format!("Authorization: Bearer {TOKEN}\r\n");
    let first = ask(&bearer);
    let tag = first.field("etag").expect("a tag").to_owned();
    let again = ask(&format!("{bearer}If-None-Match: {tag}\r\n"));
    assert_eq!((again.status, again.body.len()), (304, 0));
    let order = json!({ "title": "news", "severity": "low" }).to_string();
    assert_eq!(proxy.ask("POST", "test/incident", &bearer, &order).status, 200);
    eventually("there are news", || ask(&format!("{bearer}If-None-Match: {tag}\r\n")).status == 200);
}
