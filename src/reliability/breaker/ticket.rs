//! What is asked of a breaker, and the leave that it gives.

use std::time::Duration;

/// Leave to make one exchange's attempts. Goes back through [`Breaker::settle`](super::Breaker::settle).
#[derive(Clone, Copy, Debug)]
#[must_use = "an unsettled ticket keeps a probe's slot until it is late"]
pub struct Ticket {
    pub(super) generation: u64,
    pub(super) kind: TicketKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TicketKind {
    Counted,
    Probe(u64),
    /// Admitted against the phase: in shadow.
    Uncounted,
}

impl Ticket {
    /// A ticket of the steadily closed phase `generation`: made where no lock is taken.
    pub fn steady(generation: u64) -> Self {
        Self { generation, kind: TicketKind::Counted }
    }

    /// A ticket of a phase that would refuse and does not: whatever comes of it counts nowhere.
    pub fn uncounted(generation: u64) -> Self {
        Self { generation, kind: TicketKind::Uncounted }
    }

    /// Is it one of the few of a half-open breaker?
    pub fn is_probe(&self) -> bool {
        matches!(self.kind, TicketKind::Probe(_))
    }

    /// Would it have been refused?
    pub fn is_uncounted(&self) -> bool {
        self.kind == TicketKind::Uncounted
    }

    /// The phase it belongs to.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// How fit a request is to be a probe. The best are preferred: any whose body is whole comes after one second
/// without a better one, and after five seconds whatever comes, so that an upstream that is only ever sent
/// streams is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fitness {
    /// GET, HEAD or OPTIONS without a body.
    Safe,
    /// All of its body is here.
    Whole,
    /// Its body is yet to come.
    Streamed,
}

impl Fitness {
    pub(super) fn patience(self) -> Duration {
        Duration::from_secs(match self {
            Self::Safe => 0,
            Self::Whole => 1,
            Self::Streamed => 5,
        })
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct PermitRequest {
    /// How well the request would do as a probe.
    pub fitness: Fitness,
    /// How long its route usually takes to answer; `None`: not known.
    pub usual: Option<Duration>,
}

impl PermitRequest {
    /// A safe request of a route whose usual time is not known.
    pub const SAFE: Self = Self { fitness: Fitness::Safe, usual: None };
}
