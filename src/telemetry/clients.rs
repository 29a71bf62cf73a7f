//! Which clients of a series were served, and which got failures, since somebody asked last.
//!
//! A few words, whatever comes in: of those served four are remembered, of those that got failures the eight with the most of
//! them (Space-Saving, Metwally et al. 2005: a count is never too low).

use super::labels::ExchangeOutcome;

/// Of those served, so many are remembered.
const SERVED: usize = 4;
/// Of those that got failures, so many.
const FAILED: usize = 8;

/// Clients by their fingerprints, see [`Party`](crate::reliability::party::Party).
#[derive(Clone, Copy, Debug, Default)]
pub struct Clients {
    served: [Option<u32>; SERVED],
    /// Clients and their failures; none: a free place.
    failed: [(u32, u64); FAILED],
}

impl Clients {
    /// An exchange of `client` has ended. What this process refused is nobody's failure, and what was the client's own
    /// mistake neither that nor a success.
    pub(super) fn count(&mut self, client: u32, outcome: ExchangeOutcome) {
        match outcome {
            ExchangeOutcome::Ok => self.serve(client),
            ExchangeOutcome::ServerError | ExchangeOutcome::Timeout | ExchangeOutcome::UpstreamFailed => {
                self.fail(client, 1)
            }
            ExchangeOutcome::ClientError | ExchangeOutcome::Refused | ExchangeOutcome::ClientGone => {}
        }
    }

    fn serve(&mut self, client: u32) {
        if !self.served.contains(&Some(client))
            && let Some(free) = self.served.iter_mut().find(|place| place.is_none())
        {
            *free = Some(client);
        }
    }

    fn fail(&mut self, client: u32, many: u64) {
        let known = self.failed.iter().position(|(known, count)| *count > 0 && *known == client);
        let least = || self.failed.iter().enumerate().min_by_key(|(_, (_, count))| *count).map(|(at, _)| at);
        if let Some((held, count)) = known.or_else(least).and_then(|at| self.failed.get_mut(at)) {
            (*held, *count) = (client, count.saturating_add(many));
        }
    }

    /// Adds what another worker has seen.
    pub(super) fn add(&mut self, other: &Self) {
        other.served().for_each(|client| self.serve(client));
        other.failed().for_each(|(client, many)| self.fail(client, many));
    }

    /// Some of those that were served.
    pub fn served(&self) -> impl Iterator<Item = u32> {
        self.served.iter().filter_map(|client| *client)
    }

    /// Those that got most failures, and how many.
    pub fn failed(&self) -> impl Iterator<Item = (u32, u64)> {
        self.failed.iter().filter(|(_, count)| *count > 0).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_fails_most_is_remembered_among_many_and_refusals_are_nobodys() {
        let mut clients = Clients::default();
        for n in 0..100 {
            clients.count(7, ExchangeOutcome::ServerError);
            clients.count(1_000 + n, ExchangeOutcome::Timeout);
            clients.count(n, ExchangeOutcome::Ok);
            clients.count(5_000, ExchangeOutcome::Refused);
        }
        let failed: Vec<(u32, u64)> = clients.failed().collect();
        assert!(failed.contains(&(7, 100)) && failed.len() == FAILED, "{failed:?}");
        assert!(failed.iter().all(|(client, _)| *client != 5_000));
        assert_eq!(clients.served().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn workers_together_say_what_one_would() {
        let (mut one, mut two) = (Clients::default(), Clients::default());
        one.count(1, ExchangeOutcome::UpstreamFailed);
        two.count(1, ExchangeOutcome::UpstreamFailed);
        two.count(2, ExchangeOutcome::Ok);
        one.add(&two);
        assert_eq!(
            (one.failed().collect::<Vec<_>>(), one.served().collect::<Vec<_>>()),
            (vec![(1, 2)], vec![2])
        );
    }
}
