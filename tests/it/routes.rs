use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::{Response, ask};
use crate::support::upstream::{Upstream, status};

/// Everything goes to one application; what `routes` name `other` to another.
fn shop(app: &Upstream, other: &Upstream, routes: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            {routes}
            [upstreams.backend]
            endpoints = ["{}"]
            [upstreams.other]
            endpoints = ["{}"]
        "#,
        app.address, other.address
    ))
}

fn get(proxy: &Proxy, host: &str, target: &str) -> Response {
    ask(proxy.ingress(), &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
}

/// How many requests each route had, by its name.
fn counted(proxy: &Proxy, route: &str) -> f64 {
    proxy.metric("http_requests_total", &format!("route=\"{route}\""))
}

#[test]
fn one_bad_endpoint_is_a_route_of_its_own() {
    let (app, bad) = (Upstream::start(status(200)), Upstream::start(status(500)));
    let proxy = shop(
        &app,
        &bad,
        r#"
            [[routes]]
            prefix = "/bookings"
            [[routes]]
            path = "/bookings/{id}"
            upstream = "other"
            [[routes]]
            path = "/bookings/new"
        "#,
    );
    for (target, wanted) in [
        ("/bookings", 200),
        ("/bookings/", 200),
        ("/bookings/new", 200),
        ("/bookings/new?from=1", 200),
        ("/bookings/7", 500),
        ("/bookings/8?x=/bookings/new", 500),
        ("/bookings/7/notes", 200),
        ("/bookings/7/", 200),
    ] {
        assert_eq!(get(&proxy, "a", target).status, wanted, "{target}");
    }
    // An exchange is counted at its last byte, a moment after the client has it.
    crate::support::eventually("all are counted", || {
        let of = |route| counted(&proxy, route);
        (of("bookings"), of("bookings_new"), of("bookings_id")) == (4.0, 2.0, 2.0)
    });
    // Metrics and API have the template, whatever was asked for.
    let active =
        |label: &str| proxy.metric("http_server_active_requests", &format!("http_route=\"{label}\""));
    crate::support::eventually("none is in flight", || active("/bookings/{id}") == 0.0);
    let text = proxy.admin_get("/metrics").text();
    assert!(text.contains("http_route=\"/bookings/{id}\",upstream=\"other\""), "{text}");
    assert!(!text.contains("/bookings/7"), "{text}");
    let shown = proxy.sre("performance");
    let series = shown["series"].as_array().expect("a list");
    let route = series.iter().find(|series| series["route"] == "bookings_id").expect("there");
    assert_eq!(route["http_route"], "/bookings/{id}");
    let prefixed = series.iter().find(|series| series["route"] == "bookings").expect("there");
    assert_eq!(prefixed["http_route"], "bookings");
}

#[test]
fn a_route_with_the_host_of_the_request_comes_first() {
    let (app, other) = (Upstream::start(status(200)), Upstream::start(status(404)));
    let proxy = shop(
        &app,
        &other,
        r#"
            [[routes]]
            name = "all"
            path = "/files/{name}"
            [[routes]]
            name = "own"
            host = "Shop.example"
            path = "/files/{*rest}"
            upstream = "other"
            [[routes]]
            name = "mine"
            host = "shop.example"
            path = "/files/{file}"
            upstream = "other"
            [[routes]]
            name = "deep"
            prefix = "/files/a/b"
        "#,
    );
    for (host, target, wanted) in [
        ("other.example", "/files/x", 200),
        ("shop.example", "/files/x", 404),
        ("SHOP.example:80", "/files/x", 404),
        ("shop.example", "/files/x/y", 404),
        ("shop.example", "/files/a/b/c", 200),
        ("shop.example", "/files/", 200),
    ] {
        assert_eq!(get(&proxy, host, target).status, wanted, "{host}{target}");
    }
    crate::support::eventually("it is counted", || {
        (counted(&proxy, "mine"), counted(&proxy, "own"), counted(&proxy, "deep")) == (2.0, 1.0, 1.0)
    });
    // Two routes with the same template and other hosts are told apart.
    let text = proxy.admin_get("/metrics").text();
    assert!(text.contains("http_route=\"/files/{name}\""), "{text}");
    assert!(text.contains("http_route=\"shop.example/files/{file}\""), "{text}");
}

#[test]
fn a_path_is_compared_in_one_spelling_and_forwarded_as_it_was_sent() {
    let (app, other) = (Upstream::start(status(200)), Upstream::start(status(404)));
    let routes = r#"
        [[routes]]
        path = "/admin/{page}"
        upstream = "other"
    "#;
    let proxy = shop(&app, &other, routes);
    for (target, wanted) in [
        ("/admin/a", 404),
        ("/admin/a%2Fb", 404),
        ("/admin/..", 200),
        ("/%61dmin/a", 404),
        ("//admin/a", 404),
        ("/admin//a", 404),
        ("/./admin/a", 404),
        ("/Admin/a", 200),
    ] {
        assert_eq!(get(&proxy, "a", target).status, wanted, "{target}");
    }
    assert_eq!(other.seen()[1].path(), "/admin/a%2Fb");
    assert_eq!(other.seen()[3].path(), "//admin/a");
    assert_eq!(app.seen()[0].path(), "/admin/..");
}

#[test]
fn templates_change_with_a_reload_and_keep_their_numbers() {
    let (app, other) = (Upstream::start(status(200)), Upstream::start(status(404)));
    let route = |path: &str, name: &str| {
        format!(
            r#"
                [[routes]]
                name = "{name}"
                path = "{path}"
            "#
        )
    };
    let proxy = shop(&app, &other, &route("/a/{id}", "one"));
    get(&proxy, "a", "/a/1");
    let text = std::fs::read_to_string(proxy.path()).expect("reads");
    // The same template under another name, and the old name for another template.
    let both = format!("{}{}", route("/a/{id}", "two"), route("/b/{*rest}", "one"));
    let changed = proxy.reload(&text.replace(&route("/a/{id}", "one"), &both));
    assert_eq!(changed.status, 200, "{}", changed.text());
    get(&proxy, "a", "/a/1");
    get(&proxy, "a", "/b/1/2");
    crate::support::eventually("it is counted", || {
        (counted(&proxy, "one"), counted(&proxy, "two")) == (2.0, 1.0)
    });
    let metrics = proxy.admin_get("/metrics").text();
    for template in ["/a/{id}", "/b/{*rest}"] {
        let line = format!("http_server_active_requests{{http_route=\"{template}\"");
        assert_eq!(metrics.matches(&line).count(), 1, "{metrics}");
    }
    let refused = proxy.reload(&text.replace("/a/{id}", "/a/{id}x"));
    assert_eq!(refused.status, 422, "{}", refused.text());
    assert!(refused.text().contains("routes.0.path"), "{}", refused.text());
    assert_eq!(get(&proxy, "a", "/b/1/2").status, 200);
    crate::support::eventually("it is counted", || counted(&proxy, "one") == 3.0);
}

#[test]
fn a_route_for_an_ipv6_address_takes_it_in_any_spelling() {
    let (app, other) = (Upstream::start(status(200)), Upstream::start(status(404)));
    let route = r#"
        [[routes]]
        name = "v6"
        host = "[2001:DB8::7]"
        upstream = "other"
    "#;
    let proxy = shop(&app, &other, route);
    for host in ["[2001:db8::7]", "[2001:DB8:0:0::7]:8000"] {
        assert_eq!(get(&proxy, host, "/").status, 404, "{host}");
    }
    for host in ["[2001:db8::8]", "shop.example"] {
        assert_eq!(get(&proxy, host, "/").status, 200, "{host}");
    }
}
