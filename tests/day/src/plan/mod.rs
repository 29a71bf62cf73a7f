//! The day's plan: which sessions there are and what each of them asks. Follows from the seed alone.

mod asks;
mod endings;

use crate::deeds::{Bad, Deed, Leave};
use crate::draw::Draw;

/// How a session reaches the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The ingress, by HTTP/1.
    Ingress,
    /// The ingress, by HTTP/2.
    H2,
    /// The forward proxy.
    Egress,
    /// The vendor's local listener.
    Local,
}

/// For whom a request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The backend, whose breaker never trips.
    Plain,
    /// A backend that speaks HTTP/2.
    Streams,
    /// A backend that fails often, behind a breaker.
    Probed,
    /// Nobody listens there.
    Dead,
    /// Its breaker is held open.
    Held,
    /// Found by its host.
    Vendor,
    /// Reached by CONNECT.
    Tunnel,
    /// A host that nobody lists.
    Nowhere,
}

impl Route {
    /// The upstream's name, and the first segment of its paths.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Streams => "streams",
            Self::Probed => "probed",
            Self::Dead => "dead",
            Self::Held => "held",
            Self::Vendor => "vendor",
            Self::Tunnel => "tunnel",
            Self::Nowhere => "nowhere",
        }
    }

    /// May its breaker refuse?
    pub fn trips(self) -> bool {
        matches!(self, Self::Probed | Self::Dead | Self::Tunnel)
    }
}

/// What kind of request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One that is answered.
    Plain,
    /// Asks for an upgrade.
    Upgrade,
    /// CONNECT.
    Connect,
    /// Refused at its head.
    Bad(Bad),
    /// Refused within its body.
    BadChunk,
}

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upload {
    /// How long it is.
    pub bytes: u32,
    /// In chunks?
    pub chunked: bool,
    /// `Expect: 100-continue`.
    pub expects: bool,
}

/// One request.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Its number: it is in its path, its id and its bytes.
    pub number: u32,
    /// For whom.
    pub route: Route,
    /// What kind.
    pub kind: Kind,
    /// `GET` and so on.
    pub method: &'static str,
    /// HTTP/1.0.
    pub old: bool,
    /// May another one follow on this connection?
    pub keep: bool,
    /// Its body.
    pub upload: Option<Upload>,
    /// What the origin does.
    pub deed: Deed,
    /// Bytes of the answer, or those that go into a tunnel.
    pub size: u32,
    /// How the client leaves.
    pub leave: Leave,
    /// The client reads slowly.
    pub slow: bool,
    /// Sent behind the request before it, without waiting for that one's answer.
    pub joins: bool,
    /// Milliseconds that the client waits before it.
    pub pause: u32,
}

impl Ask {
    /// A plain GET.
    pub fn get(number: u32, route: Route, deed: Deed) -> Self {
        Self {
            number,
            route,
            kind: Kind::Plain,
            method: "GET",
            old: false,
            keep: true,
            upload: None,
            deed,
            size: 100,
            leave: Leave::No,
            slow: false,
            joins: false,
            pause: 0,
        }
    }

    /// What is known of it wherever it shows.
    pub fn id(&self) -> String {
        format!("day-{}", self.number)
    }

    /// Reads [`Self::id`].
    pub fn number_of(id: &str) -> Option<u32> {
        id.strip_prefix("day-")?.parse().ok()
    }

    /// The path, as the origin reads it.
    pub fn path(&self) -> String {
        format!("/{}/{}/{}/{}", self.route.name(), self.number, self.deed.code(), self.size)
    }

    /// Bytes of its body.
    pub fn up(&self) -> u32 {
        self.upload.map_or(0, |upload| upload.bytes)
    }
}

/// What one client does.
#[derive(Clone, Debug)]
pub struct Session {
    /// How it reaches the proxy.
    pub way: Way,
    /// What it asks, the last one with a twist.
    pub asks: Vec<Ask>,
    /// HTTP/2: the connection is dropped with the last requests still under way.
    pub drops: bool,
}

/// The whole day.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many requests.
    pub requests: u32,
    /// In how many sessions, each of one connection or more.
    pub sessions: u32,
}

impl Plan {
    /// The weight of a session: most ask a little, a few ask much.
    fn weight(&self, index: u32) -> u64 {
        let mut draw = Draw::new(self.seed, 0x1_0000_0000 | u64::from(index));
        match draw.below(10) {
            0..2 => 0,
            2..7 => u64::from(draw.below(100)),
            7..9 => u64::from(draw.below(400)),
            _ => u64::from(draw.below(2_000)),
        }
    }

    /// The number of each session's first request, and the end.
    pub fn starts(&self) -> Vec<u32> {
        let weights: Vec<u64> = (0..self.sessions).map(|index| self.weight(index)).collect();
        let all = weights.iter().sum::<u64>().max(1);
        let shared = u64::from(self.requests.saturating_sub(self.sessions));
        let mut sum = 0;
        let mut starts = vec![0];
        for (before, weight) in (1..).zip(weights) {
            sum += weight;
            starts.push(before + (shared * sum / all) as u32);
        }
        starts
    }

    /// The session `index`, whose requests have the numbers from `first` to below `end`.
    pub fn session(&self, index: u32, first: u32, end: u32) -> Session {
        let mut draw = Draw::new(self.seed, u64::from(index));
        let way = draw.weighted(&[(70, Way::Ingress), (12, Way::H2), (12, Way::Egress), (6, Way::Local)]);
        let old = way != Way::H2 && draw.percent(5);
        // HTTP/1.0 knows no pipelining: an answer that ends with its connection may be cut by a reset, and that takes
        // what the client has not read yet of the answers before it.
        let depth = if old { 1 } else { draw.weighted(&[(60, 1), (25, 4), (15, 16)]) };
        let mut asks: Vec<Ask> =
            (first..end).map(|number| asks::ordinary(&mut draw, way, old, number)).collect();
        let mut drops = false;
        if let Some(last) = asks.last_mut() {
            drops = endings::twist(&mut draw, way, last);
        }
        join(&mut draw, &mut asks, depth);
        Session { way, asks, drops }
    }
}

/// Puts requests behind each other, at most `depth` in a row.
fn join(draw: &mut Draw, asks: &mut [Ask], depth: usize) {
    let mut row = 0;
    let mut open = false;
    for ask in asks {
        let waits = ask.upload.is_some_and(|upload| upload.expects);
        let mild = ask.kind != Kind::Upgrade && ask.kind != Kind::Connect;
        ask.joins = open && !waits && mild && row < depth && (ask.leave == Leave::No || draw.percent(25));
        row = if ask.joins { row + 1 } else { 1 };
        open = !waits && ask.keep;
        ask.pause = if !ask.joins && draw.percent(12) { draw.below(30) } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan { seed: 5, requests: 10_000, sessions: 300 };

    #[test]
    fn every_number_is_asked_once() {
        let starts = PLAN.starts();
        let numbers: Vec<u32> = (0..PLAN.sessions)
            .flat_map(|index| {
                let at = index as usize;
                PLAN.session(index, starts[at], starts[at + 1]).asks
            })
            .map(|ask| ask.number)
            .collect();
        assert!(numbers.iter().copied().eq(0..PLAN.requests));
    }

    #[test]
    fn the_same_seed_is_the_same_day() {
        let drawn = |plan: Plan| format!("{:?}", plan.session(3, 0, 50));
        assert_eq!(drawn(PLAN), drawn(PLAN));
        assert_ne!(drawn(PLAN), drawn(Plan { seed: 6, ..PLAN }));
    }

    #[test]
    fn everything_has_its_share() {
        let starts = PLAN.starts();
        let mut seen = std::collections::BTreeSet::new();
        for index in 0..PLAN.sessions {
            let at = index as usize;
            for ask in PLAN.session(index, starts[at], starts[at + 1]).asks {
                seen.insert(ask.deed.code());
            }
        }
        let missing: Vec<_> = Deed::codes().filter(|code| !seen.contains(code)).collect();
        assert_eq!(missing, ["Late"]);
    }
}
