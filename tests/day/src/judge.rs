//! What a request may have led to, given what was planned and what client, origin and access log saw of it.
//!
//! Exact where it can be: whatever the client has read in whole or the origin has seen is told exactly once, and alike
//! by all three. Where it cannot be: of a request that the client left, or that broke off before its answer, the proxy
//! may have seen the head or not, so it is told once or not at all; and never when its head did not leave in whole or it
//! stood behind one that ended the connection.

use crate::deeds::Deed;
use crate::ledger::{Came, Did, How, Seen, Told};
use crate::plan::{Ask, Kind, Route, Way};

/// The three rows of a request.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The client's.
    pub seen: &'a Seen,
    /// The origin's.
    pub came: &'a Came,
    /// The access log's.
    pub told: &'a Told,
}

/// Did the upstream close a kept connection just when this request was sent on it? By HTTP/2 it says which requests it has
/// not taken, and they are sent once more, on a connection that may be ended as well; and a
/// body that has left is gone.
pub fn raced(ask: &Ask, rows: Rows<'_>) -> bool {
    let gone = ask.route != Route::Streams || ask.upload.is_some() || rows.told.attempts == 2;
    let broken = rows.told.reason.is_some_and(|reason| reason.word() == "connection_broken");
    broken && gone && rows.came.heads == 0 && ask.kind != Kind::Connect
}

fn must(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Is it as it may be?
pub fn judge(ask: &Ask, way: Way, rows: Rows<'_>) -> Result<(), String> {
    let Rows { seen, came, told } = rows;
    must(told.lines <= 1, "told more than once")?;
    must(came.heads == 0 || told.lines == 1, "the origin saw it and it was not told")?;
    must(came.heads <= told.attempts, "the origin saw it more often than it was sent")?;
    if let Kind::Bad(bad) = ask.kind {
        must(told.lines == 0 && came.heads == 0, "a refused head is no exchange")?;
        let (status, reason) = bad.refusal();
        let refused = seen.how == How::Whole
            && seen.status == status
            && seen.reason.is_some_and(|told| told.word() == reason);
        return must(refused || seen.how == How::Behind, "not refused as it must be");
    }
    if seen.status > 0 {
        must(told.lines == 1, "answered and not told")?;
        must(told.status == seen.status, "told with another status")?;
        must(seen.reason.is_none() || told.reason == seen.reason, "told with another reason")?;
    }
    match seen.how {
        How::Unsent | How::Behind => must(told.lines == 0, "told though it never came"),
        How::Left if ask.deed == Deed::EchoClientResets && seen.status > 0 => tunnel(ask, rows),
        How::Left => Ok(()),
        How::Nothing => {
            must(matches!(ask.deed, Deed::CloseMid | Deed::ResetMid), "no answer")?;
            must(told.lines == 1, "not told")
        }
        How::Cut if matches!(ask.deed, Deed::EchoOriginResets | Deed::EchoOriginMute) => tunnel(ask, rows),
        How::Cut => {
            must(matches!(ask.deed, Deed::CloseMid | Deed::ResetMid), "the answer broke off")?;
            let why = told.reason.map(|reason| reason.word());
            must(why == Some("body_broken"), "it broke off at the origin, and that was not told")
        }
        How::Whole => match seen.reason {
            Some(reason) => own(ask, way, rows, reason.word()),
            None if ask.deed.is_echo() => tunnel(ask, rows),
            None => whole(ask, rows),
        },
    }
}

/// An answer of the origin that the client has in whole.
fn whole(ask: &Ask, Rows { seen, came, told }: Rows<'_>) -> Result<(), String> {
    must(seen.status == ask.deed.status(), "another status than the origin's")?;
    must(came.heads == 1 && came.did == Did::Answered, "the origin did not answer it once")?;
    // A request may come upon a connection that is being ended: what was not taken is sent once more, and so is what is
    // safe and was perhaps sent.
    must((1..=3).contains(&told.attempts), "more attempts than there may be")?;
    must(told.reason.is_none(), "told with a reason")?;
    must(told.sent == seen.down, "told with another length of the answer")?;
    must(!came.whole || came.up == ask.up(), "the origin got a body of another length")?;
    must(!came.whole || told.received == ask.up(), "told with another length of the body")?;
    let outcome = match seen.status {
        0..400 => "ok",
        400..500 => "client_error",
        _ => "server_error",
    };
    must(told.outcome.is_some_and(|told| told.word() == outcome), "told with another outcome")
}

/// An answer of the proxy's own.
fn own(ask: &Ask, way: Way, rows: Rows<'_>, reason: &str) -> Result<(), String> {
    let Rows { seen, came, told } = rows;
    let routed = !matches!(reason, "unlisted_host" | "method_not_served");
    must(told.routed == routed, "its route is told wrongly")?;
    let breaker = reason.starts_with("breaker_");
    must(!breaker || (told.attempts == 0 && came.heads == 0), "refused and sent all the same")?;
    must(told.sent == seen.down, "told with another length of the answer")?;
    let fits = match (ask.route, reason, seen.status) {
        (Route::Held, "breaker_held", 503) => true,
        (Route::Nowhere, "unlisted_host", 403) => way == Way::Egress,
        (Route::Nowhere, "method_not_served", 405) => way != Way::Egress && ask.kind == Kind::Connect,
        (Route::Dead, "connect_failed", 502) => true,
        (route, "breaker_open" | "breaker_probing" | "breaker_ramping", 503) => route.trips(),
        // A probe has a deadline, which a slow machine may miss. The totals know how many there may be.
        (Route::Probed, "upstream_timeout", 504) => told.attempts == 1,
        (_, "bad_chunk", 400) => ask.kind == Kind::BadChunk,
        (_, "bad_upstream_answer", 502) => ask.deed == Deed::Garbage,
        (_, "connection_broken", 502) => {
            raced(ask, rows) || matches!(ask.deed, Deed::CloseBefore | Deed::ResetBefore | Deed::ResetMid)
        }
        _ => false,
    };
    must(fits, "not an answer that was called for")
}

/// A tunnel: its bytes, as far as it had an orderly end.
fn tunnel(ask: &Ask, Rows { seen, came, told }: Rows<'_>) -> Result<(), String> {
    let first_line = match ask.kind {
        Kind::Connect => format!("{} {} {}\r\n", ask.number, ask.deed.code(), ask.size).len() as u32,
        _ => 0,
    };
    let quota = ask.deed.echoed(ask.size);
    let status = if ask.kind == Kind::Connect { 200 } else { 101 };
    must(seen.status == status, "not a tunnel")?;
    must(told.received <= seen.up, "more is told than went up")?;
    must(told.sent <= quota, "more is told than came down")?;
    must(came.heads == 0 || came.up + first_line <= told.received, "less is told than the origin got")?;
    must(seen.down <= told.sent, "less is told than the client got")?;
    if matches!(ask.deed, Deed::EchoClientResets | Deed::EchoOriginResets | Deed::EchoOriginMute) {
        return Ok(());
    }
    must(told.received == seen.up && came.up == ask.size, "bytes were lost on the way up")?;
    must(told.sent == quota && seen.down == quota && came.down == quota, "bytes were lost on the way down")
}
