//! Addresses of those that the control side calls, remembered: when names cannot be looked up, the last good addresses still are.
//!
//! They stay for good, even those of a name that is said not to exist: to ask in vain costs less than to tell nobody, and
//! TLS says who answers. A cache of its own: what the data path looks up, or fails to, changes nothing here. Names come from the config, so
//! their number is bounded.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::names::{self, Resolver, Search};
use crate::config::{Host, HostName};
use crate::runtime::clock;

/// Answers are believed for their TTL, within these bounds.
const LEAST: Duration = Duration::from_secs(30);
const MOST: Duration = Duration::from_secs(3_600);
/// A look-up that takes longer has failed: there must be time left to send.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
struct ResolvedHost {
    addresses: Vec<IpAddr>,
    until: Instant,
    /// It was told that it is not found any more.
    lost: bool,
}

/// What is worth telling of a name.
#[derive(Clone, Copy, Debug)]
pub enum AddressNews<'a> {
    /// It is not found any more; so many addresses of it stay.
    Kept { host: &'a str, error: &'a str, kept: usize },
    /// It is found again.
    Found { host: &'a str },
}

/// What names lead to.
pub struct Addresses {
    resolver: Resolver,
    tell: fn(AddressNews<'_>),
    known: Mutex<BTreeMap<String, ResolvedHost>>,
}

impl Addresses {
    /// By the system's files. `tell`: what is worth a line of the log, once each time that it changes.
    pub fn system(tell: fn(AddressNews<'_>)) -> Self {
        Self { resolver: Resolver::within(PATIENCE), tell, known: Mutex::default() }
    }

    /// All addresses of a host, the best first. The error is for people.
    pub async fn of(&self, host: &Host) -> Result<Vec<IpAddr>, String> {
        match host {
            Host::Address(ip) => Ok(vec![*ip]),
            Host::Name(name) => match names::localhost(&name.text) {
                Some(addresses) => Ok(addresses),
                None => self.named(&name.text, async || self.ask(name).await).await,
            },
        }
    }

    /// By the cache, else by `ask`, else by the cache however old.
    async fn named(
        &self,
        name: &str,
        ask: impl AsyncFnOnce() -> Result<(Vec<IpAddr>, Duration), String>,
    ) -> Result<Vec<IpAddr>, String> {
        let known = self.lock().get(name).cloned();
        if let Some(known) = known.as_ref().filter(|known| clock::instant() < known.until) {
            return Ok(known.addresses.clone());
        }
        let asked = match tokio::time::timeout(PATIENCE, ask()).await {
            Ok(Ok((addresses, _))) if addresses.is_empty() => Err("it has no address".to_owned()),
            Ok(asked) => asked,
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        match (asked, known) {
            (Ok((addresses, ttl)), _) => {
                let until = clock::instant() + ttl.clamp(LEAST, MOST);
                let known = ResolvedHost { addresses: addresses.clone(), until, lost: false };
                if self.lock().insert(name.to_owned(), known).is_some_and(|before| before.lost) {
                    (self.tell)(AddressNews::Found { host: name });
                }
                Ok(addresses)
            }
            (Err(error), Some(known)) => {
                if self.lock().get_mut(name).is_some_and(|known| !std::mem::replace(&mut known.lost, true)) {
                    (self.tell)(AddressNews::Kept { host: name, error: &error, kept: known.addresses.len() });
                }
                Ok(known.addresses)
            }
            (Err(error), None) => Err(error),
        }
    }

    async fn ask(&self, name: &HostName) -> Result<(Vec<IpAddr>, Duration), String> {
        let search = if name.complete { Search::Never } else { Search::Domains };
        let resolved = self.resolver.lookup(&name.text, search).await.map_err(|error| error.to_string())?;
        Ok((resolved.addresses, resolved.ttl))
    }

    /// Nobody answers at what is known: the next time it is looked up, and kept only if that fails.
    pub fn doubt(&self, host: &Host) {
        if let Host::Name(name) = host
            && let Some(known) = self.lock().get_mut(&name.text)
        {
            known.until = clock::instant();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, ResolvedHost>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Answer = Result<(Vec<IpAddr>, Duration), String>;

    fn found(last: u8, ttl: u64) -> Answer {
        Ok((vec![IpAddr::from([192, 0, 2, last])], Duration::from_secs(ttl)))
    }

    async fn named(addresses: &Addresses, answer: Answer) -> Result<Vec<IpAddr>, String> {
        addresses.named("am.example", async || answer).await
    }

    #[tokio::test(start_paused = true)]
    async fn when_names_fail_the_last_good_addresses_are_used() {
        let addresses = Addresses::system(|_| ());
        let down = || Err("servfail".to_owned());
        assert_eq!(named(&addresses, down()).await, Err("servfail".to_owned()));
        let one = vec![IpAddr::from([192, 0, 2, 1])];
        assert_eq!(named(&addresses, found(1, 60)).await, Ok(one.clone()));
        assert_eq!(named(&addresses, found(2, 60)).await, Ok(one.clone()), "believed for its TTL");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(named(&addresses, down()).await, Ok(one.clone()), "old is better than none");
        assert!(addresses.lock()["am.example"].lost, "it was told");
        assert_eq!(named(&addresses, Ok((Vec::new(), Duration::ZERO))).await, Ok(one), "and than nothing");
        assert_eq!(named(&addresses, found(2, 60)).await, Ok(vec![IpAddr::from([192, 0, 2, 2])]));
        assert!(!addresses.lock()["am.example"].lost);
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_where_nobody_answers_is_looked_up_again() {
        let addresses = Addresses::system(|_| ());
        named(&addresses, found(1, 3_600)).await.expect("found");
        addresses.doubt(&Host::Name(HostName { text: "am.example".to_owned(), complete: false }));
        assert_eq!(named(&addresses, found(2, 60)).await, Ok(vec![IpAddr::from([192, 0, 2, 2])]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_says_nothing_leaves_time_to_send() {
        let addresses = Addresses::system(|_| ());
        let silent = async || std::future::pending::<Answer>().await;
        let told = addresses.named("am.example", silent).await.expect_err("nobody answers");
        assert!(told.contains("no answer within 3s"), "{told}");
    }
}
