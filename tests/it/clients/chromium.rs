use std::net::SocketAddr;

use super::http2::Pages;
use crate::support::proxy::ingress_to;
use crate::support::secure::issue;
use crate::support::tools::{Server, python, run_within, tool};
use crate::support::{PATIENCE, eventually};

/// What a page of it says of its fetches, once they are over.
fn told(url: &str) -> Vec<u8> {
    let home = tempfile::tempdir().expect("a directory");
    let mut chromium = tool("chromium");
    // No sandbox: it has none for root. The certificate's authority is nobody's but the test's.
    chromium.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors"]);
    // It asks nobody else.
    chromium.args(["--no-first-run", "--disable-background-networking", "--disable-component-update"]);
    chromium.args(["--disable-extensions", "--disable-sync"]);
    chromium.arg(format!("--user-data-dir={}", home.path().display())).env("HOME", home.path());
    // It ends once the page is loaded, which the page itself decides.
    let dom = run_within(2 * PATIENCE, chromium.args(["--dump-dom", url]));
    let dom = String::from_utf8_lossy(&dom);
    let told = dom.split_once("<pre id=\"told\">").and_then(|(_, rest)| rest.split_once("</pre>"));
    told.unwrap_or_else(|| panic!("no such page: {dom}")).0.as_bytes().to_vec()
}

#[test]
fn chromium_is_served_by_http2_with_its_websockets() {
    let chat = Server::start(&mut python("websocket_server.py"));
    chats(&chat, chat.address, "");
}

/// The server of its WebSockets is behind one that takes them by HTTP/2.
#[test]
fn chromium_reaches_a_websocket_server_by_http2() {
    let chat = Server::start(&mut python("websocket_server.py"));
    let second = ingress_to(chat.address, "");
    chats(&chat, second.ingress(), "protocol = \"h2\"");
    eventually("both have ended", || second.metric("http_requests_total", "status=\"101\"") == 2.0);
}

/// It loads the page and talks to `chat`, which the proxies reach at `address`.
fn chats(chat: &Server, address: SocketAddr, protocol: &str) {
    let issued = issue(&["localhost"]);
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("access.log");
    let more = format!(
        r#"
            [[routes]]
            path = "/chat"
            upstream = "chat"
            [upstreams.chat]
            endpoints = ["{address}"]
            {protocol}
            [access_log]
            to = "file:{}"
        "#,
        log.display()
    );
    let pages = Pages::over_tls(&issued, "", &more);
    let said = pages.compare(|base| {
        // Without the proxy nothing speaks WebSocket by HTTP/2: its server is asked by HTTP/1.1.
        let chat =
            if base == pages.direct() { format!("?ws://{}/chat", chat.address) } else { String::new() };
        told(&format!("{base}/page{chat}"))
    });
    for line in ["== many: 200 of 200", "page by h2", "resources by {\"h2\":207}", "== all of it"] {
        assert!(said.lines().any(|said| said == line), "{line}: {said}");
    }
    for proxy in pages.proxies() {
        eventually("its WebSocket is an exchange that has ended", || {
            proxy.metric("http_requests_total", "route=\"chat\"") == 1.0
        });
        let gone = proxy.metric("http_request_outcomes_total", "outcome=\"client_gone\"");
        assert_eq!(gone, 1.0, "{}", std::fs::read_to_string(&log).unwrap_or_default());
        assert_eq!(proxy.metric("circuit_breaker_failures", ""), 0.0, "nobody's fault");
    }
    eventually("both came by HTTP/2", || {
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        let chats = log.lines().filter(|line| line.contains("\"path\":\"/chat\""));
        chats.filter(|line| line.contains("\"protocol\":\"2\"")).count() == 2
    });
}
