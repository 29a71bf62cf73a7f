//! All interleavings of `src/upstream/fast_path.rs`, the one file of the product that works without a lock.
//!
//! Run with `RUSTFLAGS="--cfg loom" cargo test --manifest-path tests/loom/Cargo.toml --release`.

#[path = "../../src/upstream/fast_path.rs"]
pub mod fast_path;

#[cfg(all(test, loom))]
mod tests {
    use std::time::Instant;

    use loom::sync::Arc;
    use loom::thread;

    use crate::fast_path::{Guarded, GuardedMachine};

    /// Counts goods; trips at its first bad, as a breaker with one allowed failure does.
    #[derive(Default)]
    struct Counter {
        generation: u64,
        open: bool,
        good: u64,
        stragglers: u64,
    }

    impl GuardedMachine for Counter {
        fn generation(&self) -> u64 {
            self.generation
        }

        fn is_steady(&self) -> bool {
            !self.open
        }

        fn credit_good(&mut self, n: u64, _: Instant) {
            self.good += n;
        }
    }

    /// What a gate does with a good verdict.
    fn settle_good(gate: &Guarded<Counter>, worker: usize, generation: u64, now: Instant) {
        if !gate.count_good(worker, generation) {
            gate.with(now, |counter| match counter.generation == generation {
                true => counter.good += 1,
                false => counter.stragglers += 1,
            });
        }
    }

    fn trip(gate: &Guarded<Counter>, now: Instant) {
        gate.with(now, |counter| {
            counter.open = true;
            counter.generation += 1;
        });
    }

    #[test]
    fn every_good_verdict_counts_once_whatever_trips_meanwhile() {
        let now = Instant::now();
        loom::model(move || {
            let gate = Arc::new(Guarded::new(Counter::default(), 2));
            let workers: Vec<_> = (0..2)
                .map(|worker| {
                    let gate = Arc::clone(&gate);
                    thread::spawn(move || {
                        if let Some(generation) = gate.steady() {
                            settle_good(&gate, worker, generation, now);
                            return 1;
                        }
                        0
                    })
                })
                .collect();
            trip(&gate, now);
            let admitted: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
            let seen = gate.with(now, |counter| counter.good + counter.stragglers);
            assert_eq!(seen, admitted);
        });
    }

    #[test]
    fn nobody_is_admitted_as_plain_after_the_trip_was_published() {
        let now = Instant::now();
        loom::model(move || {
            let gate = Arc::new(Guarded::new(Counter::default(), 1));
            let tripping = Arc::clone(&gate);
            let tripper = thread::spawn(move || trip(&tripping, now));
            let before = gate.steady();
            tripper.join().unwrap();
            assert!(before.is_none_or(|generation| generation == 0));
            assert_eq!(gate.steady(), None);
        });
    }

    #[test]
    fn folds_of_two_lockers_lose_and_double_nothing() {
        let now = Instant::now();
        loom::model(move || {
            let gate = Arc::new(Guarded::new(Counter::default(), 1));
            assert!(gate.count_good(0, 0));
            let other = Arc::clone(&gate);
            let folder = thread::spawn(move || other.with(now, |counter| counter.good));
            let counting = gate.count_good(0, 0);
            let mine = gate.with(now, |counter| counter.good);
            folder.join().unwrap();
            assert!(counting && mine == 2);
        });
    }
}
