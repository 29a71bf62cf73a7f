//! The last request of a session: what ends connections.

use super::asks::size;
use super::{Ask, Kind, Route, Upload, Way};
use crate::deeds::{Bad, Deed, Leave};
use crate::draw::Draw;

#[derive(Clone, Copy)]
enum Twist {
    /// The client closes once it has its answer.
    Usual,
    /// It says that it closes.
    Close,
    HalfClose,
    LeavesWithin,
    LeavesWaiting,
    LeavesReading,
    OriginCloses,
    OriginResets,
    Upgrade,
    Connect,
    /// CONNECT to whom nobody lists, or where it is not served.
    ConnectNowhere,
    Bad,
    BadChunk,
    /// HTTP/2: the connection is dropped.
    Drops,
}

const INGRESS: &[(u32, Twist)] = &[
    (16, Twist::Usual),
    (8, Twist::Close),
    (8, Twist::HalfClose),
    (14, Twist::LeavesWithin),
    (6, Twist::LeavesWaiting),
    (12, Twist::LeavesReading),
    (5, Twist::OriginCloses),
    (5, Twist::OriginResets),
    (13, Twist::Upgrade),
    (1, Twist::ConnectNowhere),
    (9, Twist::Bad),
    (3, Twist::BadChunk),
];

const EGRESS: &[(u32, Twist)] = &[
    (10, Twist::Usual),
    (5, Twist::Close),
    (5, Twist::HalfClose),
    (8, Twist::LeavesWithin),
    (4, Twist::LeavesWaiting),
    (8, Twist::LeavesReading),
    (4, Twist::OriginCloses),
    (4, Twist::OriginResets),
    (45, Twist::Connect),
    (2, Twist::ConnectNowhere),
    (5, Twist::Bad),
];

const H2: &[(u32, Twist)] = &[
    (40, Twist::Usual),
    (10, Twist::LeavesWithin),
    (10, Twist::LeavesWaiting),
    (10, Twist::LeavesReading),
    (5, Twist::OriginCloses),
    (5, Twist::OriginResets),
    (20, Twist::Drops),
];

/// Gives the session's last request its twist; true: the connection is to be dropped.
pub(super) fn twist(draw: &mut Draw, way: Way, ask: &mut Ask) -> bool {
    let table = match way {
        Way::Ingress | Way::Local => INGRESS,
        Way::Egress => EGRESS,
        Way::H2 => H2,
    };
    let reset = draw.percent(50);
    match draw.weighted(table) {
        Twist::Usual => {}
        Twist::Close => ask.keep = false,
        Twist::HalfClose => ask.leave = Leave::Half,
        Twist::LeavesWithin => {
            upload(draw, ask);
            ask.leave = Leave::Within { thousandths: draw.within(1, 999), reset };
        }
        Twist::LeavesWaiting => {
            ask.deed = Deed::Slow;
            ask.leave = Leave::Waiting { reset };
        }
        Twist::LeavesReading => {
            download(draw, ask, &[(1, Deed::Length), (1, Deed::Chunked), (1, Deed::UntilClose)]);
            ask.leave = Leave::Reading { reset };
        }
        // By HTTP/2 it would close upon other requests as well.
        Twist::OriginCloses if ask.route != Route::Streams => download(draw, ask, &[(1, Deed::CloseMid)]),
        Twist::OriginCloses => download(draw, ask, &[(1, Deed::ResetMid)]),
        Twist::OriginResets => download(draw, ask, &[(1, Deed::ResetMid)]),
        Twist::Upgrade if !ask.old && ask.route != Route::Streams => tunnel(draw, ask, Kind::Upgrade),
        Twist::Upgrade => ask.keep = false,
        Twist::Connect => {
            tunnel(draw, ask, Kind::Connect);
            ask.route = Route::Tunnel;
        }
        Twist::ConnectNowhere => {
            tunnel(draw, ask, Kind::Connect);
            ask.route = Route::Nowhere;
        }
        Twist::Bad => bad(draw, ask),
        Twist::BadChunk if !ask.old => {
            ask.kind = Kind::BadChunk;
            ask.method = "POST";
            ask.upload = Some(Upload { bytes: draw.within(1, 4_096), chunked: true, expects: false });
            ask.deed = Deed::Length;
            ask.slow = false;
        }
        Twist::BadChunk => ask.leave = Leave::Half,
        Twist::Drops => return true,
    }
    false
}

fn upload(draw: &mut Draw, ask: &mut Ask) {
    if draw.percent(70) {
        ask.method = "POST";
        let chunked = !ask.old && draw.percent(40);
        ask.upload = Some(Upload { bytes: size(draw).max(64), chunked, expects: false });
    }
}

fn download(draw: &mut Draw, ask: &mut Ask, deeds: &[(u32, Deed)]) {
    if ask.method == "HEAD" {
        ask.method = "GET";
    }
    ask.deed = draw.weighted(deeds);
    ask.size = draw.weighted(&[(1, 256), (2, 16_384), (2, 262_144)]);
    ask.size = draw.within(64, ask.size);
    ask.slow = false;
}

fn tunnel(draw: &mut Draw, ask: &mut Ask, kind: Kind) {
    ask.kind = kind;
    ask.method = if kind == Kind::Connect { "CONNECT" } else { "GET" };
    ask.upload = None;
    let at = draw.below(Deed::ECHOES.len() as u32) as usize;
    ask.deed = Deed::ECHOES[at];
    ask.size = size(draw).max(2);
    ask.slow = false;
    ask.old = false;
}

fn bad(draw: &mut Draw, ask: &mut Ask) {
    let at = draw.below(Bad::ALL.len() as u32) as usize;
    ask.kind = Kind::Bad(Bad::ALL[at]);
    ask.method = "GET";
    ask.upload = None;
    ask.deed = Deed::Length;
    ask.slow = false;
    ask.old = false;
}
