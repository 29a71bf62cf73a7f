//! What is the matter in one run of [`super::traffic`], and what a request meets.

use std::num::NonZeroU32;
use std::time::Duration;

use strop::reliability::breaker::{BreakerPolicy, Mode};
use strop::reliability::outlier::Sees;
use strop::reliability::retry::Sent;
use strop::reliability::verdict::{BadReason, Failure, Inconclusive, Outcome};
use strop::units::Percent;

use crate::dice::Dice;

/// What is the matter in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    /// One endpoint after the other restarts; connections end first (`kill` false) or in the middle of an exchange.
    Deploy { kill: bool },
    /// Connections that had been idle turn out to be closed; some requests are said not to be processed.
    Idle,
    /// This side is short of descriptors, ports, streams, or of a route for an address.
    Shortage,
    /// This process stood still: what was in flight finds its time over.
    Stall,
    /// All answers of a tenth of a second are bad, or all connections break, once.
    Hiccup(BadReason),
    /// The upstream asks for peace: 429.
    Limited,
    /// Route 0, which most ask for, answers 500.
    Route,
    /// Client 0, who asks most, gets nothing but errors.
    Client,
    /// Endpoint 0 answers 500.
    Endpoint,
    /// Nothing works from second 10 to second 30, as checks that see so much tell; an operator may meddle.
    Outage { why: BadReason, checks: Option<Sees>, meddler: bool },
    /// The same, with checks of which every other one passes.
    Flapping,
    /// Nobody can connect from second 10 to second 30, and nobody asks for anything after second 28.
    Quiet,
    /// Nothing works for two seconds, and each answer takes six from then on.
    Slow,
    /// Nothing works from second 10 to second 30, and checks pass all the time.
    Liar(BadReason),
    /// An operator holds, closes and lets go what is well.
    Operator,
}

/// The seconds of an outage.
pub const OUTAGE: std::ops::Range<u64> = 10..30;
const SHORT_OUTAGE: std::ops::Range<u64> = 10..12;
/// Who fails before anybody was ever served is all there is.
const SERVED: u64 = 3;

/// A request on its way to an endpoint.
pub struct Asked {
    pub client: u32,
    pub route: u32,
    pub endpoint: usize,
    pub first: bool,
    pub probe: bool,
}

impl Weather {
    pub fn drawn(dice: &mut Dice) -> Self {
        let why = dice.one_of(&[BadReason::Connect, BadReason::Reset, BadReason::Status, BadReason::Timeout]);
        let checks = dice.one_of(&[None, Some(Sees::Connecting), Some(Sees::Answering)]);
        match dice.below(18) {
            0 => Self::Deploy { kill: false },
            1 => Self::Deploy { kill: true },
            2 => Self::Idle,
            3 => Self::Shortage,
            4 => Self::Stall,
            5 => Self::Route,
            6 => Self::Client,
            7 => Self::Endpoint,
            8 => Self::Slow,
            9 => Self::Liar(dice.one_of(&[BadReason::Status, BadReason::Timeout])),
            10 => Self::Operator,
            11 => Self::Hiccup(dice.one_of(&[BadReason::Reset, BadReason::Status])),
            12 => Self::Limited,
            13 => Self::Flapping,
            14 => Self::Quiet,
            _ => Self::Outage { why, checks, meddler: dice.chance(0.3) },
        }
    }

    /// How long it lasts, seconds.
    pub fn length(self) -> u64 {
        if self == Self::Slow { 100 } else { 60 }
    }

    /// Is the upstream really out at some time?
    pub fn is_outage(self) -> bool {
        matches!(self, Self::Outage { .. } | Self::Slow | Self::Liar(_) | Self::Flapping | Self::Quiet)
    }

    /// Is it out in this second?
    pub fn is_out(self, second: u64) -> bool {
        match self {
            Self::Outage { .. } | Self::Liar(_) | Self::Flapping | Self::Quiet => OUTAGE.contains(&second),
            Self::Slow => SHORT_OUTAGE.contains(&second),
            _ => false,
        }
    }

    /// From which second on it is well again.
    pub fn end(self) -> u64 {
        if self == Self::Slow { SHORT_OUTAGE.end } else { OUTAGE.end }
    }

    pub fn is_over(self, second: u64) -> bool {
        second >= self.end()
    }

    /// Does nobody ask for anything in this second?
    pub fn is_silent(self, second: u64) -> bool {
        self == Self::Quiet && second >= OUTAGE.end - 2
    }

    /// How what is tried fails while it is out.
    pub fn why(self) -> BadReason {
        match self {
            Self::Outage { why, .. } => why,
            Self::Liar(why) => why,
            Self::Flapping => BadReason::Status,
            Self::Quiet => BadReason::Connect,
            _ => BadReason::Reset,
        }
    }

    /// What its active checks see, and whether they pass in this second.
    pub fn check(self, second: u64) -> Option<(Sees, bool)> {
        match self {
            Self::Outage { why, checks, .. } => {
                let sees = checks?;
                Some((sees, !self.is_out(second) || Sees::of(why) > sees))
            }
            Self::Liar(_) => Some((Sees::Answering, true)),
            Self::Flapping => Some((Sees::Answering, !self.is_out(second) || second.is_multiple_of(2))),
            _ => None,
        }
    }

    pub fn policy(self, dice: &mut Dice, mode: Mode) -> BreakerPolicy {
        let few = |n: u64| NonZeroU32::new(n as u32).expect("not zero");
        let seconds = |n: u64| Duration::from_secs(n);
        let failure_rate = (dice.chance(0.5) && self != Self::Limited).then_some(Percent::of(50));
        let by_rate_alone = failure_rate.is_some() && self != Self::Slow && dice.chance(0.3);
        let failures = few(2 + dice.below(3));
        BreakerPolicy {
            mode,
            failures: (!by_rate_alone).then_some(failures),
            failure_rate,
            dedup_window: if self == Self::Hiccup(BadReason::Reset) {
                seconds(1)
            } else {
                seconds(dice.below(2))
            },
            open_for: seconds(5),
            successes: few(1 + u64::from(self == Self::Flapping) + dice.below(2)),
            probes: few(1 + dice.below(2)),
            ramp: if matches!(self, Self::Liar(_)) { seconds(10) } else { seconds(3 * dice.below(2)) },
            ..BreakerPolicy::default()
        }
    }

    /// What an attempt at an endpoint that is up meets, and how long that takes.
    pub fn meets(self, asked: &Asked, second: u64, dice: &mut Dice) -> (Outcome, Duration) {
        let failed = |failure| (Outcome::Failed(failure), Duration::from_millis(1));
        let took = Duration::from_millis(10 + dice.below(100));
        let answered =
            |status, took| (Outcome::Answered { status, retry_after: None, grpc: None, took }, took);
        let served = second >= SERVED;
        match self {
            Self::Idle if asked.first && dice.chance(0.3) => {
                let stale = Failure { reused: true, ..Failure::of(BadReason::Reset, Sent::Maybe) };
                let refused = dice.chance(0.5);
                failed(if refused { Failure::of(BadReason::Reset, Sent::Refused) } else { stale })
            }
            Self::Shortage if dice.chance(0.3) => {
                let all = [Inconclusive::Shortage, Inconclusive::NoRoute, Inconclusive::Limit];
                let local = Some(dice.one_of(&all));
                failed(Failure { local, ..Failure::of(BadReason::Connect, Sent::Nothing) })
            }
            Self::Limited if dice.chance(0.8) => {
                let retry_after = Some(Duration::from_secs(dice.below(30)));
                (Outcome::Answered { status: dice.one_of(&[429, 503]), retry_after, grpc: None, took }, took)
            }
            Self::Route if asked.route == 0 && served => answered(500, took),
            Self::Client if asked.client == 0 && served => answered(500, took),
            Self::Endpoint if asked.endpoint == 0 && served => answered(500, took),
            Self::Slow if self.is_over(second) => answered(200, Duration::from_secs(6)),
            _ if self.is_out(second) && dice.chance(0.1) => (Outcome::ClientGone, took),
            _ if self.is_out(second) => match self.why() {
                BadReason::Status | BadReason::Protocol => answered(500, took),
                why @ (BadReason::Connect | BadReason::Tls) => failed(Failure::of(why, Sent::Nothing)),
                BadReason::Timeout => {
                    let (outcome, _) = failed(Failure::of(BadReason::Timeout, Sent::Maybe));
                    (outcome, Duration::from_secs(if asked.probe { 15 } else { 2 }))
                }
                BadReason::Reset => failed(Failure::of(BadReason::Reset, Sent::Maybe)),
            },
            _ => answered(200, took),
        }
    }
}
