//! Requests as bytes.

use crate::content::{self, Side};
use crate::deeds::Bad;
use crate::plan::{Ask, Kind, Route, Way};
use crate::wire::put_chunks;

/// The host that an upstream is found by.
pub fn host(route: Route) -> &'static str {
    match route {
        Route::Vendor => "vendor.example",
        Route::Tunnel => "tunnel.example",
        Route::Nowhere => "nowhere.example",
        Route::Plain | Route::Streams | Route::Probed | Route::Dead | Route::Held => "day.example",
    }
}

/// The head of `ask`.
pub fn head(ask: &Ask, way: Way) -> Vec<u8> {
    if let Kind::Bad(bad) = ask.kind {
        return refused(ask, bad, way);
    }
    let target = target(ask, way);
    let version = if ask.old { "1.0" } else { "1.1" };
    let mut text = format!("{} {target} HTTP/{version}\r\nHost: {}\r\n", ask.method, host(ask.route));
    text.push_str(&format!("X-Request-Id: {}\r\n", ask.id()));
    match (ask.kind, ask.old, ask.keep) {
        (Kind::Upgrade, ..) => text.push_str("Connection: Upgrade\r\nUpgrade: echo\r\n"),
        (_, true, true) => text.push_str("Connection: keep-alive\r\n"),
        (_, false, false) => text.push_str("Connection: close\r\n"),
        (_, true, false) | (_, false, true) => {}
    }
    if let Some(upload) = ask.upload {
        if upload.chunked {
            text.push_str("Transfer-Encoding: chunked\r\n");
        } else {
            text.push_str(&format!("Content-Length: {}\r\n", upload.bytes));
        }
        if upload.expects {
            text.push_str("Expect: 100-continue\r\n");
        }
    }
    text.push_str("\r\n");
    text.into_bytes()
}

fn target(ask: &Ask, way: Way) -> String {
    let host = host(ask.route);
    match (ask.kind, way) {
        (Kind::Connect, _) => format!("{host}:443"),
        (_, Way::Egress) => format!("http://{host}{}", ask.path()),
        (_, Way::Ingress | Way::Local | Way::H2) => ask.path(),
    }
}

/// The body of `ask`, framed.
pub fn body(ask: &Ask) -> Vec<u8> {
    let Some(upload) = ask.upload else { return Vec::new() };
    let bytes = content::make(ask.number, Side::Up, upload.bytes as usize);
    if !upload.chunked {
        return bytes;
    }
    let mut out = Vec::with_capacity(bytes.len() + 64);
    put_chunks(&mut out, &bytes);
    out.extend_from_slice(if ask.kind == Kind::BadChunk { b"x\r\n\r\n" } else { b"0\r\n\r\n" });
    out
}

/// A head that must be refused.
fn refused(ask: &Ask, bad: Bad, way: Way) -> Vec<u8> {
    let (target, host) = (target(ask, way), host(ask.route));
    let with = |more: &str| format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n").into_bytes();
    match bad {
        Bad::LengthAndCoding => with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        Bad::NoHost => format!("GET {target} HTTP/1.1\r\nX-A: b\r\n\r\n").into_bytes(),
        Bad::Version => format!("GET {target} HTTP/3.0\r\nHost: {host}\r\n\r\n").into_bytes(),
        Bad::BareLf => format!("GET {target} HTTP/1.1\nHost: {host}\n\n").into_bytes(),
        Bad::TooLong => with(&format!("X-Long: {}\r\n", "x".repeat(70 * 1024))),
        Bad::TooManyFields => with(&"X-A: b\r\n".repeat(120)),
        Bad::Length => with("Content-Length: 0x5\r\n"),
        Bad::Target => format!("GET day HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(),
        Bad::Coding => with("Transfer-Encoding: gzip\r\n"),
    }
}
