//! Keeps the budget of buffered bytes: its marks by the memory there is and the config in force, and what the kernel holds.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::insight::resources::{MemoryGauge, MemoryRoom};
use crate::runtime::timer::every;
use crate::telemetry::Telemetry;
use crate::telemetry::event::{Event, MemoryEvent};
use crate::upstream::registry::Registry;

/// Between two looks. What fills within it is bounded by what a stalled connection is charged at once.
const EVERY: Duration = Duration::from_millis(250);
/// A control group that has so little left, as a part of its limit, is short of memory whoever holds it.
const STRAINED: usize = 10;
/// Where the control group has a limit below this, the kernel's socket buffers are bounded.
const SMALL: usize = 2 << 30;
/// To so many bytes each way: on a round trip of a millisecond, 128 MB/s for each connection.
const SOCKET: usize = 128 * 1024;

/// Looks at the memory there is.
pub struct MemoryWatch {
    gauge: MemoryGauge,
    telemetry: Arc<Telemetry>,
}

impl MemoryWatch {
    /// The first look, before anything is bound.
    pub fn begin(config: &Config, telemetry: &Arc<Telemetry>) -> Self {
        let memory = Self { gauge: MemoryGauge::default(), telemetry: Arc::clone(telemetry) };
        let room = memory.look(config);
        let bounded = room.filter(|room| room.is_group && room.limit < SMALL).map(|_| SOCKET);
        telemetry.memory.bound_sockets(config.process.socket_buffer.or(bounded));
        if let (Some(room), Some(bytes)) = (room, telemetry.memory.limit()) {
            let of = if room.is_group { "the control group's limit" } else { "the machine's memory" };
            Event::Memory(MemoryEvent::Budget { bytes, limit: room.limit, of }).tell();
        }
        memory
    }

    fn look(&self, config: &Config) -> Option<MemoryRoom> {
        let Some(room) = self.gauge.read() else {
            self.telemetry.memory.measured(None, false);
            return None;
        };
        self.telemetry.memory.allow((room.limit as f64 * config.process.buffers.ratio()) as usize);
        let strained = room.is_group && room.used > room.limit - room.limit / STRAINED;
        self.telemetry.memory.measured(room.sockets, strained);
        Some(room)
    }

    /// For as long as the process lives: what is under way while it leaves is bounded as well.
    pub async fn run(self, registry: Arc<Registry>) {
        let mut tick = every(EVERY);
        let mut was_tight = false;
        loop {
            tick.tick().await;
            let config = Arc::clone(&registry.snapshot().config);
            self.look(&config);
            let memory = &self.telemetry.memory;
            let (held, limit) = (memory.held(), memory.limit().unwrap_or(usize::MAX));
            let tight = memory.is_tight();
            match (std::mem::replace(&mut was_tight, tight), tight) {
                (false, true) => Event::Memory(MemoryEvent::Short { held, limit }).tell(),
                (true, false) => Event::Memory(MemoryEvent::Enough { held, limit }).tell(),
                (true, true) | (false, false) => {}
            }
        }
    }
}
