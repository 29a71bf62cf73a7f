//! Writes that are queued because their upstream cannot be asked: which may be sent next, and what an outcome means for one.
//!
//! Decides order, pace, repetition and end. Refuses to know where the bytes are, what the time is and how a write is sent.
//! Invariants: of the writes of one order key the oldest that is not over is the only one that may be sent; a write that may
//! have reached an upstream which does not know it again is never sent a second time unless somebody orders it; what is over
//! by failure is kept as a dead letter until somebody drops it.

mod queue;
mod replay;
mod write;

pub use queue::{Queue, QueueLimits, QueueSums};
pub use replay::{NextReplay, ReplayOutcome, ReplayPolicy, after};
pub use write::{DeadReason, OutboxOutcome, QueuePhase, QueuedWrite};

#[cfg(test)]
mod tests;
