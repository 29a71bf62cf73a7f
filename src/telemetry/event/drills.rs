//! What is told of drills.

use tracing::{info, warn};

use crate::reliability::drill::{Drill, DrillSchedule, NotBegun};

/// How a drill moves.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum DrillEvent<'a> {
    Began(&'a Drill),
    Ended(&'a Drill),
    Over(&'a Drill),
    /// The calendar's drill was due and has not begun.
    NotBegun {
        schedule: &'a DrillSchedule,
        why: &'a NotBegun,
    },
}

impl DrillEvent<'_> {
    pub fn tell(&self) {
        match *self {
            Self::Began(drill) => {
                let order = &drill.order;
                let (upstream, fault) = (&*order.upstream, order.fault.label());
                let (share, seconds) = (order.share.to_string(), order.lasts.as_secs());
                let (drill, actor, reason) = (&*drill.id, &*order.actor, &*order.reason);
                warn!(drill, upstream, fault, share, seconds, actor, reason, "drill: a fault is injected");
            }
            Self::Ended(drill) => {
                let why = drill.ended().map(|(_, end)| end.describe()).unwrap_or_default();
                let (id, upstream, hit) = (&*drill.id, &*drill.order.upstream, drill.counts.hit);
                info!(drill = id, upstream, hit, why, "drill: the injection has ended");
            }
            Self::NotBegun { schedule, why } => {
                let (upstream, due) = (&*schedule.order.upstream, schedule.when.to_string());
                let why = why.to_string();
                warn!(upstream, due, why, "drill: the one of this month has not begun");
            }
            Self::Over(drill) => {
                let seconds = |span: Option<std::time::Duration>| span.map(|span| span.as_secs_f64());
                let (detection, recovery) = (seconds(drill.to_detect()), seconds(drill.to_recover()));
                let (id, upstream) = (&*drill.id, &*drill.order.upstream);
                info!(drill = id, upstream, detection, recovery, "drill: it is over");
            }
        }
    }
}
