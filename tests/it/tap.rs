use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::events::{Event, Stream};
use crate::support::eventually;
use crate::support::proxy::{Proxy, ingress_to, proxy};
use crate::support::raw::{Client, ask_http1};
use crate::support::tools::{finish, tool};
use crate::support::upstream::{Seen, Upstream, status};

/// A backend that answers with the status in its path, such as /503/a; else 200.
fn told_by_path() -> Upstream {
    Upstream::start(std::sync::Arc::new(|seen: &Seen, stream: &mut TcpStream| {
        let told = seen.path().split('/').nth(1).and_then(|part| part.parse().ok());
        status(told.unwrap_or(200))(seen, stream)
    }))
}

fn open(proxy: &Proxy, query: &str) -> Stream {
    Stream::open(proxy, &format!("tap?{query}"), "")
}

fn ask(proxy: &Proxy, method: &str, path: &str, fields: &str) -> u16 {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n");
    ask_http1(proxy.ingress(), &head).status
}

/// Reads to the end: the paths, and the last event.
fn paths(stream: &mut Stream) -> (Vec<String>, Event) {
    let mut paths = Vec::new();
    loop {
        let event = stream.next().expect("an end");
        match event.name.as_str() {
            "exchange" => paths.push(event.json()["path"].as_str().expect("a path").to_owned()),
            "end" => return (paths, event),
            other => panic!("{other}: {}", event.data),
        }
    }
}

#[test]
fn a_tap_tells_the_exchanges_that_it_is_asked_for_and_ends_when_they_are_enough() {
    let backend = told_by_path();
    let proxy = ingress_to(
        backend.address,
        r#"
            [[routes]]
            name = "orders"
            prefix = "/200/orders"
        "#,
    );
    let mut taps = [
        open(&proxy, "limit=4"),
        open(&proxy, "status=5xx&limit=1"),
        open(&proxy, "header=X-Debug&method=POST&limit=1"),
        open(&proxy, "route=orders&upstream=backend&outcome=ok&limit=1&for=1m"),
    ];
    assert_eq!(ask(&proxy, "GET", "/404/a", "X-Debug: 1\r\n"), 404);
    assert_eq!(ask(&proxy, "POST", "/200/b", "X-Debug: 1\r\nContent-Length: 0\r\n"), 200);
    assert_eq!(ask(&proxy, "GET", "/503/c", ""), 503);
    assert_eq!(ask(&proxy, "GET", "/200/orders/7", ""), 200);
    let mut told: Vec<_> = taps.iter_mut().map(paths).collect();
    // Each worker tells its own in order; of two workers either may be first.
    told[0].0.sort();
    assert_eq!(told[0].0, ["/200/b", "/200/orders/7", "/404/a", "/503/c"]);
    assert_eq!(told[1].0, ["/503/c"]);
    assert_eq!(told[2].0, ["/200/b"]);
    assert_eq!(told[3].0, ["/200/orders/7"]);
    for ((_, end), count) in told.iter().zip([4, 1, 1, 1]) {
        assert_eq!(end.data, format!("{{\"why\":\"limit\",\"told\":{count},\"lost\":0}}"));
    }
    eventually("all places are free", || proxy.metric("strop_taps_open", "") == 0.0);
    assert_eq!(proxy.metric("strop_tap_lines_total", ""), 7.0);
}

#[test]
fn slowness_reason_and_time_are_filters_and_bounds_too() {
    let backend = Upstream::start(std::sync::Arc::new(|seen: &Seen, stream: &mut TcpStream| {
        if seen.path() == "/slow" {
            std::thread::sleep(Duration::from_millis(300)); // the upstream's own slowness
        }
        status(200)(seen, stream)
    }));
    let proxy = ingress_to(backend.address, "");
    let mut slow = open(&proxy, "slower_than=250ms&limit=1&for=1m");
    let mut refused = open(&proxy, "reason=breaker_held&limit=1&for=1m");
    let mut short = open(&proxy, "status=599&for=1s");
    assert_eq!((proxy.get("/fast").status, proxy.get("/slow").status), (200, 200));
    proxy.post("circuit-breakers/backend/open", "{\"reason\": \"a test\"}");
    assert_eq!(proxy.get("/refused").status, 503);
    assert_eq!(paths(&mut slow).0, ["/slow"]);
    assert_eq!(paths(&mut refused).0, ["/refused"]);
    let (none, end) = paths(&mut short);
    assert_eq!((none.len(), end.json()["why"].as_str()), (0, Some("time")));
}

#[test]
fn nothing_of_a_request_is_told_that_the_access_log_keeps_to_itself() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(
        backend.address,
        r#"
            [access_log]
            to = "off"
            keep_query = ["page"]
        "#,
    );
    let mut tap = open(&proxy, "header=x-debug&limit=2");
    let fields = "Authorization: Bearer s3cret\r\nCookie: sid=s3cret\r\nX-Api-Key: s3cret\r\n\
                  X-Debug: \"},\"status\":200,\"s3cret\":\"\r\nX-Request-Id: s3cret is this\r\n\
                  traceparent: 00-s3cret\r\nReferer: http://s3cret.example/\r\nContent-Length: 6\r\n";
    let head = format!(
        "POST /a\"b\\c?page=s3cret&token=s3cret HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\ns3cret"
    );
    let mut client = Client::to(proxy.ingress());
    assert_eq!(client.send(head.as_bytes()).response(false).expect("answered").status, 200);
    assert_eq!(ask(&proxy, "GET", "/fit", "X-Debug: 1\r\nX-Request-Id: order-7\r\n"), 200);
    let (first, second) = (tap.next().expect("one"), tap.next().expect("one more"));
    assert!(!first.data.contains("s3cret"), "{}", first.data);
    let told = first.json();
    assert_eq!((&told["path"], &told["host"]), (&"/a\"b\\c".into(), &"shop.example".into()));
    assert_eq!((&told["status"], &told["bytes_in"]), (&200.into(), &6.into()));
    assert!(told["time"].is_null(), "it begins with the name that stays");
    assert_eq!(second.json()["request_id"], "order-7", "as the access log has it");
}

#[test]
fn a_request_that_could_not_be_read_is_told_as_well() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let mut tap = open(&proxy, "status=4xx&limit=1");
    Client::to(proxy.ingress()).send(b"nonsense\r\n\r\n").rest();
    let told = tap.next().expect("one").json();
    assert_eq!((&told["outcome"], &told["path"]), (&"client_error".into(), &"".into()), "{told:#}");
    assert!(told["reason"].is_string() && told["route"].is_null(), "{told:#}");
}

/// A sidecar whose backend is not called: what it can answer fastest.
fn refusing(backend: &Upstream) -> Proxy {
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [process]
            workers = 2
            [access_log]
            to = "off"
            [upstreams.backend]
            endpoints = ["{}"]
        "#,
        backend.address
    ));
    proxy.post("circuit-breakers/backend/open", "{\"reason\": \"a test\"}");
    proxy
}

/// Asks so often over one connection, with lines as long as they get.
fn ask_again_and_again(proxy: &Proxy, times: usize) {
    let path = format!("/{}", "\"".repeat(600));
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    let mut client = Client::to(proxy.ingress());
    for _ in 0..times {
        let answer = client.send(request.as_bytes()).response(false);
        assert_eq!(answer.expect("answered").status, 503);
    }
}

/// How many exchanges were told and how many lost, until both together are so many.
fn told_and_lost(stream: &mut Stream, sent: u64) -> (u64, u64) {
    let (mut told, mut lost) = (0, 0);
    while told + lost < sent {
        let event = stream.next().expect("more");
        match event.name.as_str() {
            "exchange" => told += u64::from(event.json()["status"] == 503),
            "lost" => {
                lost += event.json()["lost"].as_u64().expect("a count");
                assert_eq!(event.json()["lost_in_all"], lost);
            }
            other => panic!("{other}: {}", event.data),
        }
    }
    (told, lost)
}

#[test]
fn a_reader_that_does_not_read_loses_lines_by_count_and_holds_up_nobody() {
    let backend = Upstream::start(status(200));
    let proxy = refusing(&backend);
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("sets");
    socket.connect(&proxy.admin().into()).expect("connects");
    let (code, mut slow) = Stream::over(socket.into(), "tap", "");
    assert_eq!(code, 200);
    let mut quick = open(&proxy, "sample=100%25");
    let mut sent = 0;
    // Far more than the buffers between the two hold, however large this machine makes them.
    eventually("some find no room", || {
        ask_again_and_again(&proxy, 1_000);
        sent += 1_000;
        proxy.metric("strop_tap_lines_lost_total", "") > 0.0
    });
    let (told, lost) = told_and_lost(&mut slow, sent);
    assert!(told > 0 && lost > 0, "{told} told, {lost} lost");
    assert_eq!(told + lost, sent, "each is told or counted, and none twice");
    let (told, lost) = told_and_lost(&mut quick, sent);
    assert_eq!(told + lost, sent);
}

#[test]
fn a_tap_is_bounded_while_several_clients_ask() {
    let backend = Upstream::start(status(200));
    let proxy = refusing(&backend);
    let mut tap = open(&proxy, "");
    let (told, lost) = std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| ask_again_and_again(&proxy, 1_000));
        }
        told_and_lost(&mut tap, 4_000)
    });
    assert_eq!(told + lost, 4_000, "each is told or counted, and none twice");
}

#[test]
fn there_are_so_many_taps_and_whoever_leaves_gives_the_place_back() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let taps: Vec<_> = (0..4).map(|_| open(&proxy, "")).collect();
    let refused = proxy.admin_get("/api/v2/sre/tap");
    assert_eq!((refused.status, refused.json()["code"].as_str()), (429, Some("too_many_taps")));
    assert!(refused.field("retry-after").is_some() && refused.text().contains("4 taps are open"));
    assert_eq!(proxy.metric("strop_taps_open", ""), 4.0);
    drop(taps);
    eventually("they are seen to have left", || proxy.metric("strop_taps_open", "") == 0.0);
    assert_eq!(Stream::ask(&proxy, "tap", "").0, 200);
    let lines = proxy.log.lock().expect("not poisoned").join("\n");
    assert!(lines.contains("a tap is open") && lines.contains("\"wanted\":\"all\""), "{lines}");
}

#[test]
fn what_is_asked_for_wrongly_is_refused_and_told_how_it_is_written() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let cases = [
        ("route=defualt", "did you mean \\\"default\\\""),
        ("upstream=stripe", "write backend"),
        ("status=5x", "5xx, 503 or none"),
        ("sample=0.1", "10%"),
        ("limit=0", "1 to 1000000"),
        ("for=2h", "up to 1h"),
        ("slower_then=1s", "did you mean \\\"slower_than\\\""),
    ];
    for (query, told) in cases {
        let refused = proxy.admin_get(&format!("/api/v2/sre/tap?{query}"));
        assert_eq!(refused.status, 400, "{query}: {}", refused.text());
        assert!(refused.text().contains(told), "{query}: {}", refused.text());
    }
    assert_eq!(proxy.metric("strop_taps_open", ""), 0.0);
}

#[test]
fn a_tap_ends_at_once_when_the_process_leaves() {
    let backend = Upstream::start(status(200));
    let mut proxy = ingress_to(backend.address, "\n[process]\nlame_duck = \"0s\"\n");
    let mut tap = open(&proxy, "");
    proxy.signal("TERM");
    assert_eq!(tap.next().expect("an end").json()["why"], "leaving");
    assert!(tap.next().is_none());
    assert_eq!(proxy.stop(), Some(0));
}

#[test]
fn curl_reads_it() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let url = format!("http://{}/api/v2/sre/tap?method=GET&limit=2", proxy.admin());
    let mut curl = tool("curl");
    curl.args(["--silent", "--show-error", "--fail", "--no-buffer", "--max-time", "60"]).arg(url);
    let reading = std::thread::spawn(move || finish(&mut curl));
    eventually("it looks on", || proxy.metric("strop_taps_open", "") == 1.0);
    (0..2).for_each(|_| drop(proxy.get("/a?secret")));
    let read = reading.join().expect("ends");
    let said = String::from_utf8_lossy(&read.stdout);
    assert!(read.status.success(), "{said}{}", String::from_utf8_lossy(&read.stderr));
    assert_eq!(said.matches("event: exchange\ndata: {\"timestamp\":\"").count(), 2, "{said}");
    assert!(said.ends_with("event: end\ndata: {\"why\":\"limit\",\"told\":2,\"lost\":0}\n\n"), "{said}");
}

/// `strop tap` with these arguments, while `meanwhile` happens: exit code, standard output and error.
fn strop_tap(proxy: &Proxy, args: &[&str], meanwhile: impl FnOnce()) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.arg("tap").args(args).env("STROP_ADMIN", proxy.admin().to_string());
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    eventually("it looks on", || proxy.metric("strop_taps_open", "") == 1.0);
    meanwhile();
    let ran = child.wait_with_output().expect("ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ran.status.code().expect("a code"), text(&ran.stdout), text(&ran.stderr))
}

#[test]
fn the_command_line_tells_a_line_each_and_as_json_what_the_api_tells() {
    let backend = told_by_path();
    let proxy = ingress_to(backend.address, "");
    let ask = || {
        proxy.get("/200/a");
        proxy.get("/503/b?token=s3cret");
    };
    let (code, out, error) = strop_tap(&proxy, &["--status", "5xx", "--limit", "1"], ask);
    assert_eq!((code, error.as_str()), (0, "as many as were asked for: 1 told, 0 lost\n"));
    let [line] = out.lines().collect::<Vec<_>>()[..] else { panic!("one line: {out}") };
    assert!(
        line.contains("503 server_error") && line.contains("/503/b") && !line.contains("s3cret"),
        "{line}"
    );
    assert!(line.contains("default > backend") && !line.contains('\u{1b}'), "no terminal, no colour: {line}");
    let (code, out, _) = strop_tap(&proxy, &["--sample", "100%", "--limit", "2", "--json"], ask);
    let told: Vec<serde_json::Value> =
        out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!((code, told.len()), (0, 3), "{out}");
    assert_eq!((&told[0]["path"], &told[2]["why"]), (&"/200/a".into(), &"limit".into()));
}

#[test]
fn the_command_line_says_when_it_was_refused_or_cut_off() {
    let backend = Upstream::start(status(200));
    let mut proxy = ingress_to(backend.address, "");
    let refused = Command::new(env!("CARGO_BIN_EXE_strop"))
        .args(["tap", "--outcome", "okay", "--admin", &proxy.admin().to_string()])
        .output()
        .expect("runs");
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("400: outcome \"okay\" is none; did you mean \"ok\"?"), "{said}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(["tap", "--admin", &proxy.admin().to_string()]).stderr(Stdio::piped());
    let child = command.spawn().expect("starts");
    eventually("it looks on", || proxy.metric("strop_taps_open", "") == 1.0);
    proxy.signal("KILL");
    let ran = child.wait_with_output().expect("ends");
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.code() == Some(2) && said.contains("it was cut off"), "{said}");
    proxy.leave_behind();
}

#[test]
fn a_reader_of_the_command_line_that_has_enough_ends_it() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
    command.args(["tap", "--admin", &proxy.admin().to_string()]).stdout(Stdio::piped());
    let mut child = command.spawn().expect("starts");
    eventually("it looks on", || proxy.metric("strop_taps_open", "") == 1.0);
    drop(child.stdout.take());
    eventually("it has ended", || {
        proxy.get("/");
        child.try_wait().expect("asks").is_some()
    });
    eventually("and the tap with it", || proxy.metric("strop_taps_open", "") == 0.0);
}
