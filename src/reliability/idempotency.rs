//! Which writes may reach their upstream twice and do their work once, because it knows them by a key.
//!
//! Decides whether a key vouches for a request. Refuses to know where keys stand and who makes them. Invariants: a
//! [`VouchedKey`] comes from here alone, for a method that the upstream keeps keys of, and for one key that reaches it;
//! it holds as long as the upstream remembers, counted from before the first attempt. What an earlier exchange did with
//! the same key is its client's to know: the attempts of this one have one effect, whenever that key was first used.

use std::time::{Duration, Instant};

/// The longest key that is vouched for, in bytes: Stripe's limit.
const LONGEST: usize = 255;

/// By which key an upstream knows a write that it has seen, and what it does then.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyPolicy {
    /// The field that carries the key, in lower case.
    pub header: String,
    /// How long the upstream remembers a key.
    pub lives: Duration,
    /// Methods whose requests it knows again, as requests have them.
    pub methods: Vec<String>,
    /// Inclusive ranges of statuses by which it says that it has done nothing and will not remember that it was asked.
    pub undone: Vec<(u16, u16)>,
    /// Writes without a key get one.
    pub inject: bool,
}

impl KeyPolicy {
    /// Does the upstream keep keys of requests by `method`?
    pub fn is_for(&self, method: &[u8]) -> bool {
        self.methods.iter().any(|known| known.as_bytes() == method)
    }

    /// The key of a request by `method` that carries `sent`, none of which was used before `first`; `None`: nothing vouches
    /// for it. Of several keys nobody knows which one counts.
    pub fn vouches<'a>(
        &self,
        method: &[u8],
        mut sent: impl Iterator<Item = &'a [u8]>,
        first: Instant,
    ) -> Option<VouchedKey> {
        let key = sent.next()?;
        let one = sent.next().is_none() && (1..=LONGEST).contains(&key.len());
        (one && self.is_for(method)).then(|| VouchedKey { until: first + self.lives })
    }

    /// Does `status` say that nothing was done?
    pub fn is_undone(&self, status: u16) -> bool {
        self.undone.iter().any(|&(low, high)| (low..=high).contains(&status))
    }
}

/// A key by which the upstream of a write knows it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VouchedKey {
    until: Instant,
}

impl VouchedKey {
    /// Is it remembered at `now`?
    pub fn holds(self, now: Instant) -> bool {
        now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> KeyPolicy {
        KeyPolicy {
            header: "idempotency-key".to_owned(),
            lives: Duration::from_secs(86_400),
            methods: vec!["POST".to_owned()],
            undone: vec![(409, 409)],
            inject: false,
        }
    }

    #[test]
    fn one_key_of_a_listed_method_is_vouched_for_while_it_is_remembered() {
        let (policy, first) = (policy(), Instant::now());
        let vouched = |method: &[u8], keys: &[&[u8]]| policy.vouches(method, keys.iter().copied(), first);
        let key = vouched(b"POST", &[b"k"]).expect("vouched for");
        assert!(key.holds(first) && key.holds(first + Duration::from_secs(86_399)));
        assert!(!key.holds(first + policy.lives));
        let wrong: [(&[u8], &[&[u8]]); 4] =
            [(b"POST", &[]), (b"POST", &[b""]), (b"POST", &[b"a", b"a"]), (b"PATCH", &[b"k"])];
        for (method, keys) in wrong {
            assert_eq!(vouched(method, keys), None, "{keys:?}");
        }
        assert!(vouched(b"post", &[b"k"]).is_none(), "methods are case-sensitive");
        let long = vec![b'k'; LONGEST + 1];
        assert_eq!(vouched(b"POST", &[&long]), None);
        assert!(vouched(b"POST", &[&long[1..]]).is_some());
    }

    #[test]
    fn what_failed_in_the_upstream_is_not_what_it_has_not_begun() {
        let policy = policy();
        assert!(policy.is_undone(409));
        assert!([200, 400, 402, 429, 500, 503].iter().all(|status| !policy.is_undone(*status)));
    }
}
