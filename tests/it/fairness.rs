//! One client does not take the service from the others.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::support::proxy::{Proxy, proxy};
use crate::support::raw::Client;
use crate::support::upstream::{Upstream, bytes, status};

fn shop(backend: SocketAddr, pool: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{backend}"]
            pool = {{ {pool} }}
            [process]
            workers = 2
        "#
    ))
}

/// Slow uploads of one client hold three quarters of the connections and no more.
#[test]
fn slow_requests_of_one_client_leave_a_quarter_to_the_others() {
    let backend = Upstream::start(status(200));
    let proxy = shop(backend.address, "connections = 40");
    let mut other = Client::from(2, proxy.ingress());
    assert_eq!(other.get(), 200, "somebody else is there");
    let slow: Vec<Client> = (0..100)
        .map(|_| {
            let mut client = Client::from(3, proxy.ingress());
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nx");
            client
        })
        .collect();
    crate::support::eventually("some of it is refused", || {
        proxy.metric("http_requests_total", "status=\"503\"") >= 50.0
    });
    for nth in 0..20 {
        assert_eq!(other.get(), 200, "request {nth} of another client");
        assert_eq!(Client::from(4, proxy.ingress()).get(), 200, "a newcomer");
    }
    drop(slow);
}

/// Where nobody else is, nobody is protected from it.
#[test]
fn a_client_that_is_alone_may_have_all() {
    let backend = Upstream::start(status(200));
    let proxy = shop(backend.address, "connections = 40");
    let slow: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = Client::from(3, proxy.ingress());
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nx");
            client
        })
        .collect();
    crate::support::eventually("all have arrived", || backend.connections() >= 40);
    for mut client in slow {
        client.send(b"yyyy");
        assert_eq!(client.response(false).expect("an answer").status, 200);
    }
}

/// A deploy, a page with many images, an office behind one address: bursts are served where there is room.
#[test]
fn what_is_refused_on_an_ordinary_day_is_nothing() {
    let backend = Upstream::start(status(200));
    let proxy = shop(backend.address, "connections = 64");
    let threads: Vec<_> = (2..10_u8)
        .map(|last| {
            let to = proxy.ingress();
            std::thread::spawn(move || {
                // The first has four times as many connections as each of the others.
                let many = if last == 2 { 20 } else { 5 };
                let mut clients: Vec<Client> = (0..many).map(|_| Client::from(last, to)).collect();
                (0..20)
                    .map(|_| clients.iter_mut().map(Client::get).filter(|status| *status != 200).count())
                    .sum::<usize>()
            })
        })
        .collect();
    let refused: usize = threads.into_iter().map(|thread| thread.join().expect("ends")).sum();
    assert_eq!(refused, 0);
}

#[test]
fn websockets_have_a_cap_of_their_own_and_leave_requests_their_connections() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        use std::io::Write;
        let told = if seen.head.to_ascii_lowercase().contains("upgrade: websocket") {
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"
        } else {
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        };
        stream.write_all(told.as_bytes()).is_ok()
    }));
    let proxy = shop(backend.address, "connections = 8, tunnels = 12");
    let text = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let mut open = Vec::new();
    for nth in 0..12 {
        let mut client = Client::from(3, proxy.ingress());
        client.send(text.as_bytes());
        assert_eq!(client.head().map(|(status, _)| status), Some(101), "tunnel {nth}");
        open.push(client);
    }
    let mut one_more = Client::from(4, proxy.ingress());
    one_more.send(text.as_bytes());
    let refused = one_more.response(false).expect("an answer");
    assert_eq!((refused.status, refused.field("x-strop-reason")), (503, Some("tunnels_full")));
    for _ in 0..20 {
        assert_eq!(Client::from(5, proxy.ingress()).get(), 200, "requests have their own");
    }
    drop(open);
    crate::support::eventually("a place is free again", || {
        let mut client = Client::from(4, proxy.ingress());
        client.send(text.as_bytes());
        client.head().is_some_and(|(status, _)| status == 101)
    });
}

/// What does not read its answer holds a connection as well.
#[test]
fn stalled_readers_of_one_client_leave_a_quarter_to_the_others() {
    let large = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", 8 << 20, "x".repeat(8 << 20));
    let backend = Upstream::start(bytes(large, true));
    let proxy = shop(backend.address, "connections = 16");
    let mut other = Client::from(2, proxy.ingress());
    other.send(b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    other.rest();
    let stalled: Vec<Client> = (0..40)
        .map(|_| {
            let mut client = Client::from(3, proxy.ingress());
            client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            client
        })
        .collect();
    crate::support::eventually("some of it is refused", || {
        proxy.metric("http_requests_total", "status=\"503\"") >= 20.0
    });
    backend.answer(status(200));
    for _ in 0..10 {
        assert_eq!(Client::from(4, proxy.ingress()).get(), 200);
    }
    drop(stalled);
}

#[test]
fn a_balancer_in_front_that_nobody_told_of_is_warned_of() {
    let backend = Upstream::start(status(200));
    let proxy = proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            [upstreams.backend]
            endpoints = ["{}"]
            [process]
            workers = 1
        "#,
        backend.address
    ));
    let mut client = Client::from(3, proxy.ingress());
    for nth in 0..1_000 {
        let text =
            format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 10.1.{}.{}\r\n\r\n", nth / 250, nth % 250);
        client.send(text.as_bytes());
        assert_eq!(client.response(false).expect("an answer").status, 200);
    }
    crate::support::eventually("it is told", || {
        proxy.log.lock().expect("not poisoned").iter().any(|line| line.contains("ingress.trusted_hops = 1"))
    });
}

/// Slower than the minimum rate, for longer than it is taken over: the slowest are ended until the last quarter is free again, and
/// nobody who is faster, nobody whose backend is the slow one, and nobody at all while there is room.
#[test]
fn the_slowest_clients_are_ended_only_while_the_last_quarter_is_in_use() {
    let backend = Upstream::start(Arc::new(|seen, stream| {
        use std::io::Write;
        // The backend's own slowness is no client's.
        let pause = if seen.head.contains("/report") { 45 } else { 0 };
        std::thread::sleep(Duration::from_secs(pause)); // the upstream's own slowness
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    }));
    let patient = "}\ntimeouts = { first_byte = \"120s\", idle = \"120s\"";
    let short = shop(backend.address, &format!("connections = 16 {patient}"));
    let roomy = shop(backend.address, &format!("connections = 64 {patient}"));
    let post = |last: u8, to: SocketAddr| {
        let mut client = Client::from(last, to);
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        client
    };
    // Of different clients: no share stops them.
    let mut slow: Vec<Client> = (10..18).map(|last| post(last, short.ingress())).collect();
    let mut fair: Vec<Client> = (20..24).map(|last| post(last, short.ingress())).collect();
    let mut other: Vec<Client> = (10..18).map(|last| post(last, roomy.ingress())).collect();
    let mut waiting = Client::from(30, short.ingress());
    waiting.send(b"GET /report HTTP/1.1\r\nHost: a\r\n\r\n");
    let ended = |proxy: &Proxy| proxy.metric("connections_ended_total", "reason=\"client_too_slow\"");
    let began = std::time::Instant::now();
    while ended(&short) < 2.0 {
        assert!(began.elapsed() < Duration::from_secs(120), "nobody is ended");
        for client in slow.iter_mut().chain(&mut other) {
            client.send(b"x");
        }
        for client in &mut fair {
            client.send(&[b'y'; 2_000]);
        }
        crate::support::pace(Duration::from_millis(300));
    }
    assert!(began.elapsed() > Duration::from_secs(29), "sooner than the rate is taken over");
    // Thirteen of sixteen were in use; with two less the last quarter is free.
    assert_eq!((ended(&short), ended(&roomy)), (2.0, 0.0));
    assert_eq!(waiting.response(false).expect("an answer").status, 200, "it waited for its backend");
    for mut client in fair {
        client.send(b"y").stream.set_read_timeout(Some(Duration::from_millis(50))).expect("sets");
        assert!(client.stream.peek(&mut [0]).is_err(), "nothing was said to one that is fast enough");
    }
}
