//! Does the processor fail, or are cards declined more often than usual?

use std::sync::Arc;
use std::time::Duration;

use super::{DetectPolicy, Detector, Finding, Says, Test, hints, percent};
use crate::reliability::alert::{AlertLook, AlertPolicy, Sign};
use crate::reliability::readings::PaymentReading;
use crate::reliability::rule::{Rule, Severity};
use crate::reliability::significance::above;
use crate::units::At;

impl Detector {
    pub(super) fn payments(
        &mut self,
        policy: &DetectPolicy,
        payment: &PaymentReading,
        now: At,
        found: &mut Vec<Finding>,
    ) {
        found.push(self.processor(policy, payment, now));
        found.push(self.declines(policy, payment));
    }

    fn processor(&mut self, policy: &DetectPolicy, payment: &PaymentReading, now: At) -> Finding {
        let rules = &policy.payments;
        let test =
            Test { limit: rules.failures, alpha: policy.errors.suspect, least_bad: policy.errors.least_bad };
        let windows = &payment.processor;
        let proof = test.proof(windows);
        let sign = test.sign(windows, proof);
        let key = self.key(Rule::PaymentFailure, &payment.vendor);
        let first_bad = self.spell(&key, windows, proof, now);
        let bad = sign == Sign::Bad;
        // Between an error rate's 10⁻³ and 10⁻⁶: payments that fail are critical, so less proof calls somebody.
        let ripe = bad && test.is_so_now(windows) && Test { alpha: 1e-4, ..test }.proves(windows.m5);
        Finding {
            key,
            look: AlertLook { sign, ripe, first_bad, well_now: test.is_well_now(windows) },
            severity: Severity::Critical,
            policy: AlertPolicy {
                confirm: rules.confirm,
                clear_after: policy.clear_after,
                ..AlertPolicy::default()
            },
            cause: Some(self.blamed(&payment.vendor)),
            says: bad.then(|| {
                Says::new(
                    format!("payments through {} fail", payment.vendor),
                    [
                        ("last_minute", format!("{} of {}", windows.m1.bad, windows.m1.total())),
                        ("last_5_minutes", format!("{} of {}", windows.m5.bad, windows.m5.total())),
                    ],
                )
            }),
        }
    }

    /// Declines are business, unless there are far more of them than in the last three days.
    fn declines(&self, policy: &DetectPolicy, payment: &PaymentReading) -> Finding {
        let rules = &policy.payments;
        let (hour, days) = (payment.decisions.h1, payment.decisions.d3);
        let before = days.minus(hour);
        let usual = before.bad_ratio().filter(|_| before.total() >= rules.usual_from);
        // Where nobody is ever declined one in a hundred is not unusual, and a limit of 1 could never be passed.
        let limit = usual.map(|usual| (usual * rules.declines).clamp(0.01, 0.95));
        let sign = match limit {
            None => Sign::Blind,
            Some(_) if hour.total() == 0 => Sign::Blind,
            Some(limit) if above(hour.bad, hour.total(), limit, policy.errors.page) => Sign::Bad,
            Some(limit) if hints(hour.bad, hour.total(), limit) => Sign::Between,
            Some(_) => Sign::Good,
        };
        // An hour holds what is over long since.
        let recent =
            if payment.decisions.m5.total() > 0 { payment.decisions.m5 } else { payment.decisions.m30 };
        let ripe = limit.is_some_and(|limit| hints(recent.bad, recent.total(), limit));
        Finding {
            key: self.key(Rule::DeclineRate, &payment.vendor),
            look: AlertLook { sign, ripe, first_bad: None, well_now: false },
            severity: Severity::Medium,
            policy: AlertPolicy {
                confirm: Duration::from_secs(300),
                clear_after: policy.clear_after,
                ..AlertPolicy::default()
            },
            cause: Some(Arc::clone(&payment.vendor)),
            says: (sign == Sign::Bad).then(|| {
                Says::new(
                    format!("{} declines more cards than usual", payment.vendor),
                    [
                        ("last_hour", percent(hour.bad, hour.total())),
                        ("usual", percent(before.bad, before.total())),
                        ("decisions", hour.total().to_string()),
                    ],
                )
            }),
        }
    }
}
