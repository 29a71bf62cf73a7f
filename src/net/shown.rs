//! What servers have shown of themselves: the leaf of each, as of the last handshake that was well.
//!
//! Seen at handshakes alone, so that a request pays nothing for it, and read anew only where it is another certificate. What was
//! refused is not here: that is told as a failed handshake.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use super::validity;

/// Names that are remembered of one upstream; the one that was seen longest ago gives way.
const MOST: usize = 64;

/// The certificate of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCertificate {
    /// The name that it was verified for.
    pub name: String,
    /// From and until when it is valid; `None`: it cannot be read.
    pub valid: Option<(SystemTime, SystemTime)>,
    /// When it was last shown.
    pub seen: SystemTime,
}

#[derive(Debug)]
struct LastShown {
    der: Box<[u8]>,
    valid: Option<(SystemTime, SystemTime)>,
    seen: SystemTime,
}

/// The certificates of the servers of one upstream, by name.
#[derive(Debug, Default)]
pub struct ShownCertificates(Mutex<BTreeMap<String, LastShown>>);

impl ShownCertificates {
    fn all_held(&self) -> MutexGuard<'_, BTreeMap<String, LastShown>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A handshake for `name` was well, and this was the server's own certificate.
    pub(super) fn see(&self, name: &str, der: &[u8], seen: SystemTime) {
        let mut all = self.all_held();
        if let Some(last) = all.get_mut(name)
            && *last.der == *der
        {
            last.seen = seen;
            return;
        }
        if all.len() >= MOST
            && !all.contains_key(name)
            && let Some(oldest) = all.iter().min_by_key(|(_, last)| last.seen).map(|(name, _)| name.clone())
        {
            all.remove(&oldest);
        }
        all.insert(name.to_owned(), LastShown { der: der.into(), valid: validity::of(der), seen });
    }

    /// All of them, sorted by name.
    pub fn all(&self) -> Vec<ShownCertificate> {
        let shown = |(name, last): (&String, &LastShown)| ShownCertificate {
            name: name.clone(),
            valid: last.valid,
            seen: last.seen,
        };
        self.all_held().iter().map(shown).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    #[test]
    fn the_last_certificate_of_each_name_is_remembered_and_one_that_cannot_be_read_is_not_observable() {
        let made = rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).expect("generates");
        let shown = ShownCertificates::default();
        shown.see("a.example", b"no certificate", at(1));
        assert_eq!(shown.all(), [ShownCertificate { name: "a.example".into(), valid: None, seen: at(1) }]);
        shown.see("a.example", made.cert.der(), at(2));
        shown.see("a.example", made.cert.der(), at(3));
        let all = shown.all();
        assert_eq!((all.len(), all[0].seen), (1, at(3)));
        assert_eq!(all[0].valid, validity::of(made.cert.der()));
        assert!(all[0].valid.is_some());
    }

    #[test]
    fn of_too_many_names_the_one_seen_longest_ago_gives_way() {
        let shown = ShownCertificates::default();
        (0..MOST as u64).for_each(|nth| shown.see(&format!("{nth}.example"), b"x", at(100 + nth)));
        shown.see("0.example", b"x", at(900));
        shown.see("new.example", b"x", at(901));
        let names: Vec<String> = shown.all().into_iter().map(|one| one.name).collect();
        assert_eq!(names.len(), MOST);
        assert!(
            !names.contains(&"1.example".to_owned()) && names.contains(&"0.example".to_owned()),
            "{names:?}"
        );
    }
}
