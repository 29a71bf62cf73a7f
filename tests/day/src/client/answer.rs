//! Reads the answer to one request and makes sure that it is the answer to this one.

use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::tcp::ReadHalf;

use super::World;
use super::burst::Gate;
use crate::content::{Check, Side};
use crate::deeds::{Deed, Leave};
use crate::ledger::{How, Reason};
use crate::plan::{Ask, Kind};
use crate::wire::{Ahead, Ended, Frame, Head};

/// What comes after an answer.
pub(super) enum Step {
    Next,
    /// The proxy says that it closes.
    Closes,
    /// The connection ended within the answer or before it.
    Broke,
    /// The client leaves.
    Leaves {
        reset: bool,
    },
    /// A tunnel begins.
    Tunnel,
}

pub(super) async fn read(
    world: &Rc<World>,
    from: &mut ReadHalf<'_>,
    ahead: &mut Ahead,
    ask: &Ask,
    gate: &Gate,
) -> Step {
    loop {
        let Ok(head) = ahead.head(from).await else {
            world.over(ask, How::Nothing);
            return Step::Broke;
        };
        match head.status() {
            100 => {
                if !ask.upload.is_some_and(|upload| upload.expects) {
                    world.find(ask, "100 without Expect", ());
                }
                gate.set(true);
            }
            103 => check_number(world, ask, &head),
            _ => {
                gate.set(false);
                return last(world, from, ahead, ask, &head).await;
            }
        }
    }
}

fn check_number(world: &World, ask: &Ask, head: &Head) {
    let number = head.field("x-number").and_then(|number| number.parse().ok());
    if number != Some(ask.number) {
        world.find(ask, "DESYNC: the answer to another request", head);
    }
}

/// Says the head that this is an answer to `ask`? Its reason, when it is the proxy's own.
pub(super) fn check_head(world: &World, ask: &Ask, id: Option<&str>, reason: Option<&str>) -> Option<Reason> {
    if !matches!(ask.kind, Kind::Bad(_)) && id != Some(&ask.id()) {
        world.find(ask, "DESYNC: the answer to another request", id);
    }
    let read = reason.and_then(Reason::read);
    if reason.is_some() && read.is_none() {
        world.find(ask, "an unknown reason", reason);
    }
    read
}

async fn last(world: &World, from: &mut ReadHalf<'_>, ahead: &mut Ahead, ask: &Ask, head: &Head) -> Step {
    let status = head.status();
    world.note(ask, |row| row.status = status);
    if ask.kind == Kind::Connect && status == 200 {
        return Step::Tunnel;
    }
    let own = check_head(world, ask, head.field("x-request-id"), head.field("x-strop-reason"));
    world.note(ask, |row| row.reason = own);
    if own.is_none() {
        check_number(world, ask, head);
    }
    if ask.kind == Kind::Upgrade && status == 101 {
        return Step::Tunnel;
    }
    let frame = match (ask.method, status) {
        ("HEAD", _) | (_, 204 | 304) => Frame::Length(0),
        _ => head.frame().unwrap_or(Frame::UntilClose),
    };
    let kept = head.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("keep-alive"));
    let closes = head.closes() || (ask.old && !kept) || frame == Frame::UntilClose;
    if !closes && !ask.keep {
        world.find(ask, "the answer does not say that the connection ends", head);
    }
    match body(world, from, ahead, ask, own, frame).await {
        Ok(()) if closes => Step::Closes,
        Ok(()) => Step::Next,
        Err(step) => step,
    }
}

async fn body(
    world: &World,
    from: &mut ReadHalf<'_>,
    ahead: &mut Ahead,
    ask: &Ask,
    own: Option<Reason>,
    frame: Frame,
) -> Result<(), Step> {
    let mut check = Check::new(ask.number, Side::Down);
    let mut text = Vec::new();
    let enough = match ask.leave {
        Leave::Reading { .. } => u64::from(ask.size / 2),
        _ => u64::MAX,
    };
    ahead.pace = ask.slow.then_some(Duration::from_millis(1));
    let read = ahead
        .body(from, frame, |piece| {
            if own.is_some() {
                text.extend_from_slice(piece);
            } else {
                check.feed(piece);
            }
            check.bytes() < enough
        })
        .await;
    ahead.pace = None;
    let bytes = check.bytes() + text.len() as u64;
    world.note(ask, |row| row.down = bytes as u32);
    world.report.bytes.fetch_add(bytes, Ordering::Relaxed);
    if let Some(at) = check.wrong() {
        world.find(ask, "DESYNC: the answer's body is another's", at);
    }
    match read {
        Ok(trailers) => {
            world.over(ask, How::Whole);
            check_whole(world, ask, own, frame, &text, bytes, &trailers);
            Ok(())
        }
        Err(Ended::Stopped) => {
            world.over(ask, How::Left);
            Err(Step::Leaves { reset: ask.leave == Leave::Reading { reset: true } })
        }
        Err(ended) => {
            if ended == Ended::Nonsense {
                world.find(ask, "the answer's body is no HTTP", ());
            }
            world.over(ask, How::Cut);
            Err(Step::Broke)
        }
    }
}

fn check_whole(
    world: &World,
    ask: &Ask,
    own: Option<Reason>,
    frame: Frame,
    text: &[u8],
    bytes: u64,
    trailers: &str,
) {
    let bodiless = ask.method == "HEAD";
    if own.is_some() {
        let id = ask.id();
        let told = text.windows(id.len()).any(|window| window == id.as_bytes());
        if !told && !bodiless && !matches!(ask.kind, Kind::Bad(_)) {
            world.find(ask, "DESYNC: an own answer with another id", ());
        }
        return;
    }
    let wanted = if bodiless { 0 } else { u64::from(ask.size) };
    if bytes != wanted {
        world.find(ask, "a whole answer of another length", bytes);
    }
    let trailer = format!("X-Of: {}\n", ask.number);
    let wanted = if ask.deed == Deed::Trailers && frame == Frame::Chunked { trailer.as_str() } else { "" };
    if !trailers.eq_ignore_ascii_case(wanted) {
        world.find(ask, "other trailers", trailers);
    }
}
