//! The looks at what upstreams keep up with: how often, and by which policy.

use std::time::{Duration, Instant};

use super::registry::Registry;
use crate::reliability::concurrency::{AdmissionMode, WINDOW};

impl Registry {
    /// Looks at what is under way to each upstream behind the ingress, and at how much each turns away; when they are to be
    /// looked at next.
    pub fn look_at_loads(&self, now: Instant) -> Duration {
        let world = self.snapshot();
        let policy = world.config.ingress.as_ref().map(|ingress| ingress.concurrency).unwrap_or_default();
        let mut modes = vec![policy.mode];
        for upstream in world.serving() {
            if let Some(load) = &upstream.load {
                load.turn(&policy, &upstream.config.name, now);
            }
            upstream.throttle.turn(&upstream.config.throttle, now);
            modes.push(upstream.config.throttle.mode);
        }
        if modes.iter().all(|mode| *mode == AdmissionMode::Off) { Duration::from_secs(1) } else { WINDOW }
    }
}
