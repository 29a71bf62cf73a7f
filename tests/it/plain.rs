use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to};
use crate::support::raw::Response;
use crate::support::upstream::{Upstream, status};

fn ask(proxy: &Proxy, path: &str, accept: &str) -> Response {
    proxy.ask("GET", path, &format!("Accept: {accept}\r\n"), "")
}

#[test]
fn what_the_api_lists_is_a_table_where_text_is_asked_for() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    proxy.get("/");
    let text = ask(&proxy, "circuit-breakers?format=text", "*/*");
    assert_eq!((text.status, text.field("content-type")), (200, Some("text/plain; charset=utf-8")));
    assert_eq!(text.field("vary"), Some("accept"));
    let told = text.text();
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines[0].starts_with("status  ") && lines.contains(&"circuit_breakers: 1"), "{told}");
    let head = lines.iter().position(|line| line.starts_with("NAME  ")).expect("a head");
    let state = lines[head].find("STATE").expect("a column");
    assert!(
        lines[head + 1].starts_with("backend ") && lines[head + 1][state..].starts_with("closed"),
        "{told}"
    );
    for path in
        ["incidents", "upstreams", "health/comprehensive", "dashboard", "uptime", "rules", "config", "audit"]
    {
        let text = ask(&proxy, &format!("{path}?format=text"), "*/*");
        let told = text.text();
        assert!(text.status == 200 && told.starts_with("status  "), "{path}: {told}");
        assert!(told.lines().all(|line| line == line.trim_end()), "{path}: {told}");
    }
}

#[test]
fn the_form_is_that_of_the_query_else_what_accept_names_first_and_else_json() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let kind = |path: &str, accept: &str| {
        let answer = ask(&proxy, path, accept);
        assert_eq!(answer.status, 200, "{path} {accept}: {}", answer.text());
        answer.field("content-type").expect("a type").split(';').next().expect("a part").to_owned()
    };
    for (path, accept, wanted) in [
        ("incidents", "*/*", "application/json"),
        ("incidents", "text/plain", "text/plain"),
        ("incidents", "text/plain;q=0.9, */*;q=0.1", "text/plain"),
        ("incidents", "application/json, text/plain, */*", "application/json"),
        ("incidents?format=json", "text/plain", "application/json"),
        ("incidents?all=true&format=text&limit=5", "application/json", "text/plain"),
        ("latency.hlog", "text/plain", "text/plain"),
    ] {
        assert_eq!(kind(path, accept), wanted, "{path} {accept}");
    }
    let known = ask(&proxy, "incidents?format=text", "*/*\r\nIf-None-Match: *");
    assert!(known.status == 200 && known.field("etag").is_none(), "a tag is of the JSON");
    for (path, told) in [
        ("incidents?format=xml", "format \\\"xml\\\" is none"),
        ("incidents?formt=text", "did you mean \\\"format\\\""),
        ("incidents?format=text&limit=0", "is no limit"),
        ("incidents/inc_01m8kkjsb44cnxck5kx0?format=text", "no incident is named"),
    ] {
        let refused = ask(&proxy, path, "*/*");
        assert_eq!(refused.field("content-type"), Some("application/problem+json"), "{path}");
        assert!(refused.text().contains(told), "{path}: {}", refused.text());
    }
    let order =
        proxy.ask("POST", "test/incident", "Accept: text/plain\r\n", r#"{"title": "\u001b[31m\nred"}"#);
    assert_eq!(order.field("content-type"), Some("application/json"), "orders are answered as ever");
    eventually("it is listed, and steers no terminal", || {
        let told = ask(&proxy, "incidents", "text/plain").text();
        assert!(!told.contains('\u{1b}'), "{told}");
        told.lines().any(|line| line.contains("[31m red"))
    });
}

#[test]
fn measures_are_of_one_route_and_one_window_where_that_is_asked_for() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "\n[[routes]]\nname = \"bookings\"\nprefix = \"/bookings\"\n");
    proxy.get("/bookings/7");
    let all = proxy.sre("performance");
    let routes = all["series"].as_array().expect("series").len();
    assert!(routes > 1, "{all:#}");
    let one = proxy.sre("performance?route=bookings&window=1m");
    assert_eq!((&one["window"], one["series"].as_array().map(Vec::len)), (&"1m".into(), Some(1)));
    let series = &one["series"][0];
    assert_eq!((&series["route"], series["windows"].as_array().map(Vec::len)), (&"bookings".into(), Some(1)));
    assert_eq!(series["windows"][0]["window"], "1m");
    eventually("replies are looked at", || {
        proxy.sre("slo")["windows"].as_array().is_some_and(|all| all.len() == 5)
    });
    let (uptime, slo) = (proxy.sre("uptime?window=24h"), proxy.sre("slo?window=6h"));
    assert_eq!((&uptime["window"], &slo["window"]), (&"24h".into(), &"6h".into()));
    assert_eq!(slo["windows"].as_array().map(Vec::len), Some(1));
    for (path, status, told) in [
        ("performance?route=booking", 404, "did you mean \\\"bookings\\\""),
        ("performance?window=2m", 400, "write 10s, 1m, 5m, 1h"),
        ("uptime?window=1y", 400, "write 24h, 7d, 30d"),
        ("slo?window=24h", 400, "write 5m, 30m, 1h, 6h, 3d"),
    ] {
        let refused = proxy.admin_get(&format!("/api/v2/sre/{path}"));
        assert_eq!(refused.status, status, "{path}");
        assert!(refused.text().contains(told), "{path}: {}", refused.text());
    }
}
