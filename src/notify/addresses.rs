//! Addresses of receivers, remembered: when names cannot be looked up, the last good addresses still are.
//!
//! A cache of its own: what the data path looks up, or fails to, changes nothing here. Names come from the config, so
//! their number is bounded.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;

use crate::config::Host;
use crate::runtime::clock;

/// Answers are believed for their TTL, within these bounds.
const LEAST: Duration = Duration::from_secs(30);
const MOST: Duration = Duration::from_secs(3_600);
/// A look-up that takes longer has failed: there must be time left to send.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Clone, Debug)]
struct Known {
    addresses: Vec<IpAddr>,
    until: Instant,
}

/// What names lead to.
pub(super) struct Addresses {
    resolver: Option<TokioResolver>,
    known: Mutex<BTreeMap<String, Known>>,
}

impl Addresses {
    /// With the system's servers and hosts file. Without any, only addresses and `localhost` can be used.
    pub(super) fn system() -> Self {
        let resolver = TokioResolver::builder_tokio().ok().and_then(|builder| builder.build().ok());
        Self { resolver, known: Mutex::default() }
    }

    /// All addresses of a host, IPv4 first. The error is for people.
    pub(super) async fn of(&self, host: &Host) -> Result<Vec<IpAddr>, String> {
        match host {
            Host::Address(ip) => Ok(vec![*ip]),
            // RFC 6761 section 6.3, whatever the hosts file says.
            Host::Name(name) if name == "localhost" => Ok(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]),
            Host::Name(name) => self.named(name, async || self.ask(name).await).await,
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
                self.lock().insert(name.to_owned(), Known { addresses: addresses.clone(), until });
                Ok(addresses)
            }
            (Err(_), Some(known)) => Ok(known.addresses),
            (Err(error), None) => Err(error),
        }
    }

    async fn ask(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        let resolver = self.resolver.as_ref().ok_or("no name server is configured on this machine")?;
        // The trailing dot says that the name is complete: no search domains.
        let full = if name.contains('.') { format!("{name}.") } else { name.to_owned() };
        let answer = resolver.lookup_ip(full).await.map_err(|error| error.to_string())?;
        let ttl = answer.valid_until().saturating_duration_since(clock::instant());
        let mut addresses: Vec<IpAddr> = answer.iter().collect();
        addresses.sort_by_key(IpAddr::is_ipv6);
        Ok((addresses, ttl))
    }

    /// Nobody answers at what is known: the next time it is looked up, and kept only if that fails.
    pub(super) fn doubt(&self, host: &Host) {
        if let Host::Name(name) = host
            && let Some(known) = self.lock().get_mut(name)
        {
            known.until = clock::instant();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Known>> {
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
        let addresses = Addresses { resolver: None, known: Mutex::default() };
        let down = || Err("servfail".to_owned());
        assert_eq!(named(&addresses, down()).await, Err("servfail".to_owned()));
        let one = vec![IpAddr::from([192, 0, 2, 1])];
        assert_eq!(named(&addresses, found(1, 60)).await, Ok(one.clone()));
        assert_eq!(named(&addresses, found(2, 60)).await, Ok(one.clone()), "believed for its TTL");
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(named(&addresses, down()).await, Ok(one.clone()), "old is better than none");
        assert_eq!(named(&addresses, Ok((Vec::new(), Duration::ZERO))).await, Ok(one), "and than nothing");
        assert_eq!(named(&addresses, found(2, 60)).await, Ok(vec![IpAddr::from([192, 0, 2, 2])]));
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_where_nobody_answers_is_looked_up_again() {
        let addresses = Addresses { resolver: None, known: Mutex::default() };
        named(&addresses, found(1, 3_600)).await.expect("found");
        addresses.doubt(&Host::Name("am.example".to_owned()));
        assert_eq!(named(&addresses, found(2, 60)).await, Ok(vec![IpAddr::from([192, 0, 2, 2])]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_says_nothing_leaves_time_to_send() {
        let addresses = Addresses { resolver: None, known: Mutex::default() };
        let silent = async || std::future::pending::<Answer>().await;
        let told = addresses.named("am.example", silent).await.expect_err("nobody answers");
        assert!(told.contains("no answer within 3s"), "{told}");
    }
}
