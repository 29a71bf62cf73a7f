//! Requests after which a connection may go on.

use super::{Ask, Route, Upload, Way};
use crate::deeds::Deed;
use crate::draw::Draw;

/// What the origin does to a usual request, in thousandths.
const DEEDS: &[(u32, Deed)] = &[
    (620, Deed::Length),
    (150, Deed::Chunked),
    (50, Deed::Trailers),
    (15, Deed::UntilClose),
    (40, Deed::NoContent),
    (20, Deed::NotModified),
    (20, Deed::Hints),
    (25, Deed::Slow),
    (15, Deed::CloseSaid),
    (8, Deed::CloseUnsaid),
    (5, Deed::Surplus),
    (8, Deed::Fails),
    (4, Deed::Busy),
    (7, Deed::CloseBefore),
    (7, Deed::ResetBefore),
    (6, Deed::Garbage),
];

/// What it does behind a breaker that is to trip now and then.
const STORMY: &[(u32, Deed)] =
    &[(60, Deed::Length), (10, Deed::Slow), (20, Deed::Fails), (5, Deed::Busy), (5, Deed::ResetBefore)];

/// What it does by HTTP/2.
const STREAMS: &[(u32, Deed)] = &[
    (620, Deed::Length),
    (150, Deed::Chunked),
    (80, Deed::Trailers),
    (50, Deed::NoContent),
    (20, Deed::NotModified),
    (30, Deed::Slow),
    (15, Deed::CloseSaid),
    (10, Deed::Fails),
    (5, Deed::Busy),
    (10, Deed::ResetBefore),
    (10, Deed::ResetMid),
];

/// Bytes of a body: most are small. From 64 KiB on they go from socket to socket where both are plain.
pub(super) fn size(draw: &mut Draw) -> u32 {
    let long = [(50, 0), (660, 1_024), (220, 8_192), (58, 32_768), (10, 262_144), (2, 2_097_152)];
    let most = draw.weighted(&long);
    draw.within(0, most)
}

fn route(draw: &mut Draw, way: Way) -> Route {
    match way {
        Way::Ingress | Way::H2 => draw.weighted(&[
            (73, Route::Plain),
            (15, Route::Streams),
            (8, Route::Probed),
            (2, Route::Dead),
            (2, Route::Held),
        ]),
        Way::Egress => draw.weighted(&[(97, Route::Vendor), (3, Route::Nowhere)]),
        Way::Local => Route::Vendor,
    }
}

/// A request that leaves its connection as it was, unless the origin has other plans.
pub(super) fn ordinary(draw: &mut Draw, way: Way, old: bool, number: u32) -> Ask {
    let route = route(draw, way);
    let method = draw.weighted(&[(68, "GET"), (26, "POST"), (4, "PUT"), (2, "HEAD")]);
    let upload = matches!(method, "POST" | "PUT").then(|| {
        let bytes = size(draw);
        let chunked = !old && draw.percent(35);
        let expects = !old && way != Way::H2 && bytes > 0 && draw.percent(6);
        Upload { bytes, chunked, expects }
    });
    let mut deed = draw.weighted(match route {
        Route::Probed => STORMY,
        Route::Streams => STREAMS,
        _ => DEEDS,
    });
    let long = route != Route::Streams && upload.is_some_and(|upload| upload.bytes > 0);
    if long && draw.percent(3) {
        deed = draw.weighted(&[(1, Deed::Early), (1, Deed::EarlyClose)]);
    }
    if method == "HEAD" && !matches!(deed, Deed::NoContent | Deed::NotModified | Deed::Slow) {
        deed = Deed::Length;
    }
    let size = match deed {
        Deed::ResetMid => size(draw).max(2),
        Deed::NoContent | Deed::NotModified | Deed::Fails | Deed::Busy => 0,
        Deed::Surplus => draw.within(0, 512),
        _ => size(draw),
    };
    let slow = size > 32_768 && draw.percent(10);
    Ask { method, old, upload, size, slow, ..Ask::get(number, route, deed) }
}
