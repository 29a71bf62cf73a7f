//! What RFC 9113 and RFC 7541 ask of an HTTP/2 server and of a client, point by point: what is sent, frame by frame, and
//! what may come of it. The points are those that the public conformance tools look at, in words of our own.

/// What a client may send, in every form that it may take.
mod allowed;
/// Windows and how they change.
mod flow;
/// Frames: their sizes, streams, flags and values.
mod frames;
/// Heads that are malformed.
mod heads;
/// Field blocks that are none, and those in rare forms.
mod hpack;
/// Which frame may come when on a stream.
mod streams;
/// What an upstream may do, and what it may not.
mod upstreams;

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::support::h2raw::{Frame, H2Raw, Next, flag, kind, status_of};
use crate::support::proxy::{Proxy, proxy};
use crate::support::upstream::{Answer, Upstream};

/// What may come of a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// An answer of 200 with this body; the connection goes on.
    Says(&'static str),
    /// An answer with this status; the connection goes on.
    Status(u16),
    /// A stream is reset for this; the connection goes on.
    Reset(u32),
    /// The connection ends, and why is told.
    GoAway(u32),
    /// The connection ends without a word.
    Closes,
    /// Nothing comes of it; the connection goes on.
    GoesOn,
}

use Want::{Closes, GoAway, GoesOn, Reset, Says, Status};

/// What has come.
#[derive(Clone, Debug)]
enum Came {
    Answer(u16, String),
    Reset(u32),
    GoAway(u32),
    End,
    Pong,
}

impl Want {
    fn is(self, came: &Came) -> bool {
        match (self, came) {
            (Says(body), Came::Answer(200, text)) => body == text,
            (Status(wanted), Came::Answer(status, _)) => wanted == *status,
            (Reset(wanted), Came::Reset(code)) | (GoAway(wanted), Came::GoAway(code)) => wanted == *code,
            (Closes, Came::End) | (GoesOn, Came::Pong) => true,
            _ => false,
        }
    }
}

/// A point: its name, what may come of it, what is sent.
type Point = (&'static str, &'static [Want], fn(&mut H2Raw));

/// The pseudo-header fields of a request.
type Start = [(&'static str, &'static str); 4];
const GET: Start = [(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
const POST: Start = [(":method", "POST"), (":scheme", "http"), (":path", "/"), (":authority", "a")];
/// Its answer takes a moment: until then the stream is open on that side.
const WAIT: Start = [(":method", "GET"), (":scheme", "http"), (":path", "/wait"), (":authority", "a")];

/// A request with more fields than its start.
fn with(start: &Start, fields: &[(&'static str, &'static str)]) -> Vec<(&'static str, &'static str)> {
    [&start[..], fields].concat()
}

/// Says what it was sent. `/wait`: after a moment.
fn echo() -> Arc<Answer> {
    Arc::new(|seen, stream| {
        if seen.path() == "/wait" {
            std::thread::sleep(Duration::from_millis(300)); // the upstream's own slowness
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.body.len());
        let body = if seen.head.starts_with("HEAD") { &[] } else { &seen.body[..] };
        stream.write_all(&[head.as_bytes(), body].concat()).is_ok()
    })
}

/// Before `backend`, with time enough for heads: a hang is not to be taken for a refusal.
fn patient(backend: &Upstream, limits: &str) -> Proxy {
    proxy(&format!(
        r#"
            [ingress]
            listen = "127.0.0.1:0"
            limits = {{ header_read = "120s"{limits} }}
            [upstreams.backend]
            endpoints = ["{}"]
            breaker = {{ enabled = false }}
        "#,
        backend.address
    ))
}

/// Looks at each point on a connection of its own; a failure tells all that are not as they are to be.
fn look(proxy: &Proxy, points: &[Point], connect: fn(std::net::SocketAddr) -> H2Raw) {
    let mut wrong = Vec::new();
    for (name, wants, act) in points {
        let mut peer = connect(proxy.ingress());
        act(&mut peer);
        let came = match outcome(&mut peer, wants) {
            Ok(came) if wants.iter().any(|want| want.is(&came)) => came,
            other => {
                wrong.push(format!("{name}: {other:?} instead of {wants:?}"));
                continue;
            }
        };
        if !matches!(came, Came::GoAway(_) | Came::End) {
            peer.head(1_001, flag::END_STREAM, &GET);
            if peer.answer(1_001).0 != 200 {
                wrong.push(format!("{name}: nothing is served any more"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {} points:\n{}", wrong.len(), points.len(), wrong.join("\n"));
}

/// What decides the point; an error: nothing has come for long, or what nobody has asked for.
fn outcome(peer: &mut H2Raw, wants: &[Want]) -> Result<Came, String> {
    let asks = wants.contains(&GoesOn);
    if asks {
        peer.frame(kind::PING, 0, 0, b"go on??!");
    }
    let answers = wants.iter().any(|want| matches!(want, Says(_) | Status(_)));
    let (mut status, mut body) = (0, Vec::new());
    loop {
        let Frame { kind, flags, stream, payload } = match peer.next() {
            Next::Frame(frame) => frame,
            Next::End => return Ok(Came::End),
            Next::Nothing => return Err("nothing".to_owned()),
        };
        let number = |at: usize| u32::from_be_bytes(payload[at..at + 4].try_into().expect("four"));
        match kind {
            kind::GOAWAY => {
                return match peer.next() {
                    Next::End => Ok(Came::GoAway(number(4))),
                    next @ (Next::Frame(_) | Next::Nothing) => Err(format!("GOAWAY, then {next:?}")),
                };
            }
            kind::RST_STREAM => return Ok(Came::Reset(number(0))),
            kind::PING if flags & flag::ACK != 0 && (!asks || payload != b"go on??!") => {
                return Err(format!("an answer to no PING: {payload:?}"));
            }
            kind::PING if flags & flag::ACK != 0 && !answers => return Ok(Came::Pong),
            kind::HEADERS if status < 200 => status = status_of(&payload),
            kind::DATA => body.extend_from_slice(&payload),
            _ => {}
        }
        let last = matches!(kind, kind::HEADERS | kind::DATA) && flags & flag::END_STREAM != 0;
        if answers && last && stream != 0 {
            return Ok(Came::Answer(status, String::from_utf8_lossy(&body).into_owned()));
        }
    }
}

#[test]
fn every_point_is_looked_at_once() {
    let all: Vec<&str> = [
        allowed::POINTS,
        flow::POINTS,
        frames::BEGINNINGS,
        frames::SIZES,
        frames::VALUES,
        frames::IN_BLOCKS,
        heads::POINTS,
        heads::LENGTHS,
        hpack::POINTS,
        streams::POINTS,
        streams::CLOSED,
    ]
    .iter()
    .flat_map(|points| points.iter().map(|(name, _, _)| *name))
    .collect();
    let mut names = all.clone();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all.len(), "two have one name");
    assert!(all.len() >= 146, "{}", all.len());
}
