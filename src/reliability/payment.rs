//! What became of a request that takes a payment?
//!
//! Two questions are told apart: whether the processor did its work, and what it decided about the card. A decline is a
//! decision, so the processor is well; an outcome that says nothing of the processor is none at all.

use super::verdict::Verdict;

/// The status by which a processor says that the card was declined: 402 Payment Required
/// (docs.stripe.com/api/errors: "the parameters were valid but the request failed").
const DECLINED: u16 = 402;

/// How a request that takes a payment ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentOutcome {
    /// The payment was taken.
    Accepted,
    /// The card was declined.
    Declined,
    /// The processor answered and decided nothing: the request was wrong, or is not finished.
    Undecided,
    /// The processor failed: no answer, a bad one, or too many requests.
    Failed,
}

impl PaymentOutcome {
    /// `status`: that of the answer, if there was one. `None`: it says nothing of the processor.
    pub fn of(verdict: Verdict, status: Option<u16>) -> Option<Self> {
        match (verdict, status) {
            (Verdict::Inconclusive(_), _) => None,
            (Verdict::Bad(_) | Verdict::RateLimited { .. }, _) => Some(Self::Failed),
            (Verdict::Good | Verdict::Slow, Some(200..300)) => Some(Self::Accepted),
            (Verdict::Good | Verdict::Slow, Some(DECLINED)) => Some(Self::Declined),
            (Verdict::Good | Verdict::Slow, _) => Some(Self::Undecided),
        }
    }
}

/// Requests that take payments, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paid {
    /// The processor answered, either way.
    pub answered: u64,
    /// It failed: no answer, a bad one, or too many requests.
    pub failed: u64,
    /// Payments that were taken.
    pub accepted: u64,
    /// Cards that were declined.
    pub declined: u64,
}

impl Paid {
    /// The counts of so many of each outcome.
    pub fn of(count: impl Fn(PaymentOutcome) -> u64) -> Self {
        let (accepted, declined) = (count(PaymentOutcome::Accepted), count(PaymentOutcome::Declined));
        let answered = accepted + declined + count(PaymentOutcome::Undecided);
        Self { answered, failed: count(PaymentOutcome::Failed), accepted, declined }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::reliability::verdict::{BadReason, Inconclusive};

    #[test]
    fn a_decline_is_an_answer_and_no_failure() {
        let of = |verdict, status| PaymentOutcome::of(verdict, status);
        assert_eq!(of(Verdict::Good, Some(201)), Some(PaymentOutcome::Accepted));
        assert_eq!(of(Verdict::Slow, Some(402)), Some(PaymentOutcome::Declined));
        assert_eq!(of(Verdict::Good, Some(400)), Some(PaymentOutcome::Undecided));
        assert_eq!(of(Verdict::Bad(BadReason::Status), Some(502)), Some(PaymentOutcome::Failed));
        assert_eq!(of(Verdict::Bad(BadReason::Connect), None), Some(PaymentOutcome::Failed));
        assert_eq!(of(Verdict::Inconclusive(Inconclusive::ClientGone), None), None, "the client left");
    }

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Good),
            Just(Verdict::Slow),
            Just(Verdict::Bad(BadReason::Timeout)),
            Just(Verdict::RateLimited { retry_after: Some(Duration::from_secs(1)) }),
            Just(Verdict::Inconclusive(Inconclusive::Stale)),
        ]
    }

    proptest! {
        #[test]
        fn every_payment_is_counted_once_and_only_an_answer_decides(
            ended in prop::collection::vec((any_verdict(), prop::option::of(100_u16..600)), 0..50),
        ) {
            let outcomes: Vec<_> = ended.iter().filter_map(|(verdict, status)| PaymentOutcome::of(*verdict, *status)).collect();
            let paid = Paid::of(|wanted| outcomes.iter().filter(|one| **one == wanted).count() as u64);
            let silent = ended.iter().filter(|(verdict, _)| matches!(verdict, Verdict::Inconclusive(_))).count();
            prop_assert_eq!(paid.answered + paid.failed, (ended.len() - silent) as u64);
            prop_assert!(paid.accepted + paid.declined <= paid.answered);
        }
    }
}
