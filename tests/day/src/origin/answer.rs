//! Answers, whole and otherwise.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Asked, Shared, Then, answered, body};
use crate::content::{self, Side};
use crate::deeds::Deed;
use crate::ledger::Did;
use crate::report::Report;
use crate::wire::{Ahead, put_chunks};

pub(super) async fn send(tcp: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    tcp.write_all(bytes).await
}

fn head(asked: &Asked, fields: &str) -> Vec<u8> {
    let status = asked.deed.status();
    format!("HTTP/1.1 {status} As Asked\r\nX-Number: {}\r\n{fields}\r\n", asked.number).into_bytes()
}

fn by_length(asked: &Asked, fields: &str) -> Vec<u8> {
    let mut out = head(asked, &format!("{fields}Content-Length: {}\r\n", asked.size));
    if !asked.bodiless {
        out.extend_from_slice(&asked.content());
    }
    out
}

fn in_chunks(asked: &Asked, end: &str) -> Vec<u8> {
    let mut out = head(asked, "Transfer-Encoding: chunked\r\n");
    put_chunks(&mut out, &asked.content());
    out.extend_from_slice(end.as_bytes());
    out
}

/// An answer of which half is missing.
fn half(asked: &Asked) -> Vec<u8> {
    let mut out = match asked.number % 2 {
        0 => by_length(asked, ""),
        _ => in_chunks(asked, ""),
    };
    out.truncate(out.len() - (asked.size as usize / 2).max(1));
    out
}

fn garbage(asked: &Asked) -> Vec<u8> {
    let text: &[u8] = match asked.number % 4 {
        0 => b"HTTP/1.1 banana\r\n\r\n",
        1 => return content::make(asked.number, Side::Down, 64),
        2 => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        _ => b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    };
    text.to_vec()
}

/// Bytes behind an answer that look like the next one.
const SURPLUS: &[u8] = b"HTTP/1.1 200 OK\r\nX-Number: 4294967295\r\nContent-Length: 0\r\n\r\n";

/// The bytes of the answer, whole or not.
fn bytes(asked: &Asked) -> Vec<u8> {
    match asked.deed {
        Deed::Chunked => in_chunks(asked, "0\r\n\r\n"),
        Deed::Trailers => in_chunks(asked, &format!("0\r\nX-Of: {}\r\n\r\n", asked.number)),
        Deed::UntilClose => {
            let mut out = head(asked, "");
            out.extend_from_slice(&asked.content());
            out
        }
        Deed::NoContent | Deed::NotModified => head(asked, ""),
        Deed::Hints => {
            let hint = format!("HTTP/1.1 103 Early Hints\r\nX-Number: {}\r\n\r\n", asked.number);
            [hint.into_bytes(), by_length(asked, "")].concat()
        }
        Deed::CloseSaid | Deed::EarlyClose => by_length(asked, "Connection: close\r\n"),
        Deed::Busy => by_length(asked, "Retry-After: 0\r\n"),
        Deed::Surplus => [&by_length(asked, "")[..], SURPLUS].concat(),
        Deed::CloseMid | Deed::ResetMid => half(asked),
        Deed::Garbage => garbage(asked),
        Deed::CloseBefore | Deed::ResetBefore => Vec::new(),
        _ => by_length(asked, ""),
    }
}

/// Acts on a request that came in whole.
pub(super) async fn act(tcp: &mut TcpStream, ahead: &mut Ahead, asked: &Asked, shared: &Shared) -> Then {
    if asked.delay() > 0 {
        tokio::time::sleep(Duration::from_millis(asked.delay())).await;
    }
    if send(tcp, &bytes(asked)).await.is_err() {
        return Then::Close;
    }
    answered(shared, asked, if asked.deed.answers() { Did::Answered } else { Did::AsPlanned });
    match asked.deed {
        Deed::UntilClose => ends(tcp, ahead).await,
        Deed::CloseUnsaid => {
            Report::one(&shared.report.unsaid);
            tokio::time::sleep(Duration::from_millis(u64::from(asked.number % 4))).await;
            Then::Close
        }
        Deed::CloseSaid | Deed::CloseBefore | Deed::CloseMid | Deed::Garbage => Then::Close,
        Deed::ResetBefore | Deed::ResetMid => Then::Reset,
        _ => Then::Next,
    }
}

/// Acts on a request whose body was not read yet.
pub(super) async fn early(tcp: &mut TcpStream, ahead: &mut Ahead, asked: &Asked, shared: &Shared) -> Then {
    if send(tcp, &bytes(asked)).await.is_err() {
        return Then::Close;
    }
    answered(shared, asked, if asked.deed.answers() { Did::Answered } else { Did::AsPlanned });
    match asked.deed {
        Deed::CloseBefore => Then::Close,
        Deed::ResetBefore => Then::Reset,
        Deed::EarlyClose => ends(tcp, ahead).await,
        // Whoever waited for 100 has its answer, and sends no body.
        _ if asked.expects => ends(tcp, ahead).await,
        _ if body(tcp, ahead, asked, shared).await => Then::Next,
        _ => Then::Close,
    }
}

/// Ends our side and reads the other to its end.
async fn ends(tcp: &mut TcpStream, ahead: &mut Ahead) -> Then {
    if tcp.shutdown().await.is_err() {
        return Then::Close;
    }
    let reading = async {
        loop {
            ahead.take();
            if !matches!(ahead.more(tcp).await, Ok(1..)) {
                return;
            }
        }
    };
    // Whoever never ends its side is closed upon.
    let _ = tokio::time::timeout(Duration::from_secs(5), reading).await;
    Then::Close
}
