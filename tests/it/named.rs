//! Routes are named by the application's own OpenAPI document, and by nothing else of it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::ask;
use crate::support::upstream::{Answer, Upstream, status};

/// What an application answers at `/openapi.json`.
#[derive(Clone, Default)]
struct Document {
    status: u16,
    tag: Option<&'static str>,
    body: String,
}

/// An application that answers 200 to everything, and 500 below `/broken`.
pub(super) struct App {
    upstream: Upstream,
    document: Arc<Mutex<Document>>,
}

fn answer(document: Arc<Mutex<Document>>) -> Arc<Answer> {
    let (good, bad) = (status(200), status(500));
    Arc::new(move |seen, stream| {
        if seen.path().starts_with("/broken") {
            return bad(seen, stream);
        }
        if seen.path() != "/openapi.json" {
            return good(seen, stream);
        }
        let Document { status, tag, body } = document.lock().expect("not poisoned").clone();
        let asked = seen.fields("if-none-match");
        let tag_line = tag.map_or_else(String::new, |tag| format!("ETag: {tag}\r\n"));
        let told = if tag.is_some_and(|tag| asked == [tag]) {
            format!("HTTP/1.1 304 Not Modified\r\n{tag_line}\r\n")
        } else {
            let length = body.len();
            format!("HTTP/1.1 {status} Told\r\n{tag_line}Content-Length: {length}\r\n\r\n{body}")
        };
        stream.write_all(told.as_bytes()).is_ok()
    })
}

impl App {
    pub(super) fn start(paths: &Value) -> Self {
        let document = Arc::new(Mutex::new(document(paths, None)));
        Self { upstream: Upstream::start(answer(Arc::clone(&document))), document }
    }

    /// The same application, by another version, at the address of one that has gone.
    fn back(address: SocketAddr, paths: &Value) -> Self {
        let document = Arc::new(Mutex::new(document(paths, None)));
        Self { upstream: Upstream::on(address, answer(Arc::clone(&document))), document }
    }

    fn says(&self, document: Document) {
        *self.document.lock().expect("not poisoned") = document;
    }

    /// How often the document was asked for.
    fn asked(&self) -> usize {
        self.upstream.seen().iter().filter(|seen| seen.path() == "/openapi.json").count()
    }

    /// Until it was asked for so many times more.
    fn is_asked(&self, more: usize) {
        let before = self.asked();
        eventually("the document is asked for again", || self.asked() >= before + more);
    }

    pub(super) fn proxy(&self, ingress: &str, more: &str) -> Proxy {
        proxy(&format!(
            r#"
                [ingress]
                listen = "127.0.0.1:0"
                openapi = "/openapi.json"
                {ingress}
                [upstreams.backend]
                endpoints = ["{}"]
                {more}
            "#,
            self.upstream.address
        ))
    }
}

fn document(paths: &Value, tag: Option<&'static str>) -> Document {
    let body = json!({ "openapi": "3.1.0", "info": { "title": "shop", "version": "1" }, "paths": paths });
    Document { status: 200, tag, body: body.to_string() }
}

fn bookings() -> Value {
    json!({ "/bookings": { "get": {}, "post": {} }, "/bookings/{booking-id}": { "get": {}, "delete": {} } })
}

pub(super) fn request(proxy: &Proxy, method: &str, target: &str) -> u16 {
    ask(proxy.ingress(), &format!("{method} {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"))
        .status
}

/// How many requests a route had, by its name.
fn counted(proxy: &Proxy, route: &str) -> f64 {
    proxy.metric("http_requests_total", &format!("route=\"{route}\""))
}

pub(super) fn is_counted(proxy: &Proxy, wanted: &[(&str, f64)]) {
    let of = |(route, _): &(&str, f64)| counted(proxy, route);
    eventually("all are counted under their names", || wanted.iter().all(|one| of(one) == one.1));
}

fn state(proxy: &Proxy) -> String {
    proxy.sre("routes")["document"]["state"].as_str().unwrap_or("none").to_owned()
}

pub(super) fn is_in_state(proxy: &Proxy, wanted: &str) {
    eventually(&format!("the document is {wanted}"), || state(proxy) == wanted);
}

/// Names by who has given them; those that have gone with a `-` in front.
pub(super) fn named_by(proxy: &Proxy, who: &str) -> Vec<String> {
    let told = proxy.sre("routes");
    let all = told["routes"].as_array().expect("a list").iter().filter(|one| one["named_by"] == who);
    let name = |one: &Value| {
        let gone = if one["gone_at"].is_null() { "" } else { "-" };
        format!("{gone}{}", one["name"].as_str().expect("a name"))
    };
    all.map(name).collect()
}

fn told(proxy: &Proxy, what: &str) -> usize {
    proxy.log.lock().expect("not poisoned").iter().filter(|line| line.contains(what)).count()
}

#[test]
fn requests_are_counted_under_the_operations_of_the_application() {
    let app = App::start(&bookings());
    let proxy = app.proxy("", "");
    is_in_state(&proxy, "read");
    for (method, target) in [
        ("GET", "/bookings?limit=3"),
        ("POST", "/bookings"),
        ("GET", "/bookings/7"),
        ("GET", "/bookings/8"),
        ("DELETE", "/bookings/7"),
        ("PUT", "/bookings/7"),
        ("GET", "/bookings/7/notes"),
        ("GET", "/elsewhere"),
    ] {
        assert_eq!(request(&proxy, method, target), 200, "{method} {target}");
    }
    let all = [
        ("get_bookings", 1.0),
        ("post_bookings", 1.0),
        ("get_bookings_booking_id", 2.0),
        ("delete_bookings_booking_id", 1.0),
        ("default", 3.0),
    ];
    is_counted(&proxy, &all);
    let label = "http_route=\"GET /bookings/{booking_id}\"";
    eventually("they are told as OpenTelemetry does", || {
        proxy.metric("http_server_request_duration_seconds_count", label) == 2.0
    });
    let shown = proxy.sre("performance");
    let series = shown["series"].as_array().expect("a list");
    let one = series.iter().find(|one| one["route"] == "delete_bookings_booking_id").expect("there");
    assert_eq!(one["http_route"], "DELETE /bookings/{booking_id}");
    assert_eq!(proxy.metric("strop_openapi_operations", ""), 4.0);
    assert!(proxy.metric("strop_openapi_reads_total", "state=\"read\"") >= 1.0);
    let known = proxy.sre("routes");
    assert_eq!((&known["document"]["named"], &known["document"]["why"]), (&json!(4), &Value::Null));
    assert_eq!(named_by(&proxy, "document").len(), 4);
    assert_eq!(named_by(&proxy, "built_in"), ["default"]);
}

#[test]
fn written_routes_win_and_nothing_but_names_comes_from_the_document() {
    let other = Upstream::start(status(404));
    let mut paths = bookings();
    paths["/limited"] = json!({ "post": { "x-strop": { "upstream": "other", "body_limit": "1B" } } });
    let app = App::start(&paths);
    let server = format!("http://{}/v1", other.address);
    let body = json!({ "openapi": "3.0.3", "servers": [{ "url": server }], "paths": paths }).to_string();
    app.says(Document { status: 200, tag: None, body });
    let more = format!(
        r#"
            [upstreams.other]
            endpoints = ["{}"]
            [[routes]]
            name = "mine"
            path = "/bookings/{{id}}"
            upstream = "other"
        "#,
        other.address
    );
    let proxy = app.proxy("", &more);
    is_in_state(&proxy, "read");
    assert_eq!(request(&proxy, "GET", "/bookings/7"), 404);
    assert_eq!(request(&proxy, "POST", "/limited"), 200);
    assert_eq!(request(&proxy, "GET", "/v1/bookings"), 200, "a server of the document is called by nobody");
    is_counted(
        &proxy,
        &[("mine", 1.0), ("post_limited", 1.0), ("get_bookings", 1.0), ("get_bookings_booking_id", 0.0)],
    );
    assert_eq!(other.hits(), 1);
    assert_eq!(named_by(&proxy, "config"), ["mine"]);
    // The reload writes a route over an operation that had a name of its own.
    let text = std::fs::read_to_string(proxy.path()).expect("reads");
    let reloaded =
        proxy.reload(&format!("{text}\n[[routes]]\nname = \"post_limited\"\npath = \"/elsewhere\"\n"));
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    request(&proxy, "GET", "/bookings");
    eventually("the operation has another name than the route", || {
        named_by(&proxy, "document").iter().any(|name| name.starts_with("post_limited_"))
    });
    is_counted(&proxy, &[("get_bookings", 2.0)]);
}

#[test]
fn names_change_with_the_tag_and_one_that_goes_keeps_its_history() {
    let app = App::start(&bookings());
    app.says(document(&bookings(), Some("\"v1\"")));
    let proxy = app.proxy("openapi_every = \"1s\"", "");
    is_in_state(&proxy, "read");
    request(&proxy, "GET", "/bookings");
    is_counted(&proxy, &[("get_bookings", 1.0)]);
    app.is_asked(2);
    let tags = app.upstream.seen();
    let tags = tags.iter().filter(|seen| seen.path() == "/openapi.json").skip(1);
    assert!(tags.clone().count() > 0 && tags.clone().all(|seen| seen.fields("if-none-match") == ["\"v1\""]));
    assert_eq!(told(&proxy, "routes are named"), 1, "what has not changed is not told again");
    app.says(document(&json!({ "/orders/{id}": { "get": {} } }), Some("\"v2\"")));
    eventually("the new one is named", || named_by(&proxy, "document").contains(&"get_orders_id".to_owned()));
    let names = named_by(&proxy, "document");
    assert!(names.contains(&"-get_bookings".to_owned()), "{names:?}");
    let known = proxy.sre("routes");
    let gone = known["routes"].as_array().expect("a list").iter().find(|one| one["name"] == "get_bookings");
    let gone = gone.expect("it is kept");
    assert!(gone["kept_until"].as_str() > gone["gone_at"].as_str() && gone["upstream"].is_null(), "{gone}");
    request(&proxy, "GET", "/bookings");
    request(&proxy, "GET", "/orders/9");
    is_counted(&proxy, &[("get_bookings", 1.0), ("default", 1.0), ("get_orders_id", 1.0)]);
    app.says(document(&bookings(), Some("\"v3\"")));
    eventually("it is back", || named_by(&proxy, "document").contains(&"get_bookings".to_owned()));
    request(&proxy, "GET", "/bookings");
    is_counted(&proxy, &[("get_bookings", 2.0)]);
}

#[test]
fn another_version_of_the_application_is_asked_soon_after_it_is_back() {
    let app = App::start(&bookings());
    let proxy = app.proxy("openapi_every = \"1h\"", "");
    is_in_state(&proxy, "read");
    let address = app.upstream.address;
    app.upstream.kill();
    eventually("nobody answers", || request(&proxy, "GET", "/bookings") >= 500);
    let app = App::back(address, &json!({ "/orders": { "get": {} } }));
    eventually("it is named", || {
        request(&proxy, "GET", "/orders");
        counted(&proxy, "get_orders") > 0.0
    });
    assert!(app.asked() <= 2, "{} times: it is not asked all the time", app.asked());
    assert!(named_by(&proxy, "document").contains(&"-get_bookings".to_owned()));
}

#[test]
fn what_cannot_be_read_leaves_names_as_they_are_and_is_told_once() {
    let app = App::start(&bookings());
    let proxy = app.proxy("openapi_every = \"1s\"", "");
    is_in_state(&proxy, "read");
    let large = format!("{{\"openapi\":\"3.1.0\",\"paths\":{{}},\"x\":\"{}\"}}", "x".repeat(4 << 20));
    for (state, why, document) in [
        ("missing", "status 404", Document { status: 404, ..Document::default() }),
        (
            "broken",
            "no JSON from line 1",
            Document { status: 200, body: "<html>s3cret".to_owned(), ..Document::default() },
        ),
        (
            "broken",
            "no version 3",
            Document { status: 200, body: "{\"swagger\":\"2.0\"}".to_owned(), ..Document::default() },
        ),
        ("too_large", "longer than 4 MiB", Document { status: 200, body: large, ..Document::default() }),
    ] {
        app.says(document);
        let says = || proxy.sre("routes")["document"]["why"].as_str().unwrap_or_default().to_owned();
        eventually(&format!("{state}: {why}"), || says().contains(why));
        assert_eq!(self::state(&proxy), state);
        app.is_asked(2);
        assert_eq!(told(&proxy, why), 1, "{why}");
        assert_eq!(named_by(&proxy, "document").len(), 4);
        assert_eq!(request(&proxy, "GET", "/bookings"), 200);
    }
    is_counted(&proxy, &[("get_bookings", 4.0)]);
    assert_eq!(told(&proxy, "s3cret"), 0, "nothing of it is told");
    app.says(document(&bookings(), None));
    is_in_state(&proxy, "read");
    assert!(proxy.sre("routes")["document"]["why"].is_null());
}

#[test]
fn without_an_answer_the_start_goes_on_and_names_come_later() {
    let app = App::start(&bookings());
    let address = app.upstream.address;
    app.upstream.kill();
    let proxy = ingress_to(address, "");
    let text = std::fs::read_to_string(proxy.path()).expect("reads");
    let wanted = text.replace("[ingress]", "[ingress]\nopenapi = \"/openapi.json\"");
    assert_eq!(proxy.reload(&wanted).status, 200);
    is_in_state(&proxy, "unreachable");
    let app = App::back(address, &bookings());
    is_in_state(&proxy, "read");
    assert_eq!(proxy.reload(&text).status, 200);
    eventually("none is asked for any more", || proxy.sre("routes")["document"].is_null());
    assert!(named_by(&proxy, "document").iter().all(|name| name.starts_with('-')));
    request(&proxy, "GET", "/bookings");
    is_counted(&proxy, &[("default", 1.0)]);
    drop(app);
}

/// As FastAPI 0.165.0 gives it of an application with a router, a path that takes slashes and a `root_path`.
const FASTAPI: &str = include_str!("clients/fastapi_openapi.json");

#[test]
fn a_root_path_may_stand_in_front_or_be_taken_off_before() {
    let app = App::start(&json!({}));
    app.says(Document { status: 200, tag: None, body: FASTAPI.to_owned() });
    let proxy = app.proxy("", "");
    is_in_state(&proxy, "read");
    for target in [
        "/bookings/7",
        "/shop/bookings/8",
        "/shop/bookings/new",
        "/shop/files/a",
        "/other/bookings/7",
        "/bookings",
    ] {
        assert_eq!(request(&proxy, "GET", target), 200, "{target}");
    }
    request(&proxy, "DELETE", "/shop/bookings/9");
    let all = [
        ("get_bookings_booking_id", 2.0),
        ("get_bookings_new", 1.0),
        ("get_files_path", 1.0),
        ("delete_bookings_booking_id", 1.0),
        // FastAPI sends whoever asks for it to /bookings/.
        ("default", 2.0),
    ];
    is_counted(&proxy, &all);
    let known = proxy.sre("routes");
    assert_eq!(
        (&known["document"]["named"], &known["document"]["skipped"]),
        (&json!(8), &json!(1)),
        "{known}"
    );
}

#[test]
fn an_operation_that_fails_is_an_incident_by_its_own_name() {
    let app = App::start(&json!({ "/broken/{id}": { "get": {} }, "/well": { "get": {} } }));
    let proxy = app.proxy("", "[incidents.errors]\nconfirm = \"1s\"\n");
    is_in_state(&proxy, "read");
    let mut nth = 0;
    eventually("there is an incident", || {
        for _ in 0..10 {
            nth += 1;
            request(&proxy, "GET", &format!("/broken/{nth}"));
            request(&proxy, "GET", "/well");
        }
        let all = proxy.sre("incidents?all=true");
        let all = all["incidents"].as_array().expect("a list");
        all.iter().any(|one| one["service"] == "get_broken_id" || one.to_string().contains("get_broken_id"))
    });
    let silenced = proxy.post("silences", r#"{"service": "get_broken_id", "for": "1h", "reason": "known"}"#);
    assert_eq!(silenced.status, 200, "{}", silenced.text());
}
