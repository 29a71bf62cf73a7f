//! The heartbeat: an address outside is called as long as incidents are looked for and people can be told of them.
//!
//! Whether it may be called is decided in [`heartbeat`](crate::reliability::delivery::heartbeat). It has a task of its own, so
//! that a control loop that hangs is seen outside; in a fleet the member on duty calls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::{Notifier, Snapshot};
use crate::config::Config;
use crate::notify::{Heartbeat, Sender};
use crate::reliability::delivery::heartbeat::{Vitals, Withheld};
use crate::reliability::fleet::Duty;
use crate::runtime::clock;
use crate::runtime::drain::Drain;
use crate::telemetry::Telemetry;
use crate::telemetry::event::ProcessEvent;
use crate::upstream::registry::Registry;

/// A heartbeat that a reload has brought begins within this.
const LOOK: Duration = Duration::from_secs(1);

/// What the task reads.
pub(super) struct Beating {
    pub(super) registry: Arc<Registry>,
    pub(super) sender: Arc<Sender>,
    pub(super) notifier: Notifier,
    pub(super) telemetry: Arc<Telemetry>,
    /// When the control loop last looked at everything is part of it.
    pub(super) snapshot: watch::Receiver<Arc<Snapshot>>,
    pub(super) duty: watch::Receiver<Duty>,
}

impl Beating {
    /// Until asked to leave.
    pub(super) async fn run(self, drain: Drain) {
        let mut held: Option<(Arc<Config>, Heartbeat)> = None;
        let mut next = clock::instant();
        let mut heard = true;
        loop {
            tokio::select! {
                () = drain.requested() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let config = Arc::clone(&self.registry.snapshot().config);
            let Some(wanted) = &config.heartbeat else {
                held = None;
                continue;
            };
            if !held.as_ref().is_some_and(|(of, _)| Arc::ptr_eq(of, &config)) {
                held = Some((Arc::clone(&config), Heartbeat::new(wanted)));
            }
            let Some((_, to)) = held.as_ref().filter(|_| clock::instant() >= next) else { continue };
            next = clock::instant() + wanted.every;
            heard = self.turn(to, heard).await;
        }
    }

    /// One turn; whether somebody heard it, or another member's.
    async fn turn(&self, to: &Heartbeat, before: bool) -> bool {
        let came = match self.vitals().withheld() {
            None => self.sender.beat(to).await.map_err(|error| (error.why.label(), error.cause)),
            // Another member's is heard, or not, where that one is.
            Some(Withheld::OffDuty) => {
                self.telemetry.people.beat(Withheld::OffDuty.label(), None);
                return true;
            }
            Some(why) => Err((why.label(), "it is withheld".to_owned())),
        };
        match &came {
            Ok(said) => {
                let now = clock::unix_seconds(clock::now().wall);
                self.telemetry.people.beat("called", Some(now));
                if !before {
                    ProcessEvent::Heartbeat { heard: Ok(said) }.tell();
                }
            }
            Err((why, error)) => {
                self.telemetry.people.beat(why, None);
                if before {
                    ProcessEvent::Heartbeat { heard: Err((why, error)) }.tell();
                }
            }
        }
        came.is_ok()
    }

    fn vitals(&self) -> Vitals {
        let now = clock::instant();
        let channels = self.notifier.failing();
        let failing = channels.iter().filter(|(_, failing)| failing.is_some()).count();
        let looked = self.snapshot.borrow().looked.map(|at| now.saturating_duration_since(at.instant));
        Vitals { acts: self.duty.borrow().acts(), looked, channels: channels.len(), failing }
    }
}
