//! Active checks: is an endpoint there when nobody calls it?
//!
//! A bad attempt makes the next check come at once. Checks win over what attempts say, both ways: one that fails its
//! checks is out, one that passes is back from an ejection whose cause the check can see. They probe an open breaker
//! too, so that no user pays for that. What this side lacks (a descriptor, a route) is no failed check, and an address
//! of the family that its name is not called by is not checked. [`RiseFall`] and [`Round`] decide; [`watch`] makes the checks.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::endpoint::EndpointState;
use super::single::{self, Missed, SingleGet};
use super::{Upstream, connect};
use crate::config;
use crate::net::http::Bound;
use crate::reliability::failover::{BreakerSight, GroupSight};
use crate::reliability::outlier::Sees;
use crate::reliability::rise_fall::{Check, Checked, RiseFall, Round};
use crate::runtime::drain::Drain;
use crate::runtime::timer::within;
use crate::runtime::{clock, pauses};
use crate::telemetry::event::{Event, UpstreamEvent};

/// Makes one active check of an endpoint; `Err` says what was missed.
pub async fn check(
    upstream: &Upstream,
    endpoint: &EndpointState,
    health: &config::HealthCheck,
) -> Result<(), Missed> {
    let asked = health.path.as_deref().map(|path| (path, health.expect));
    let began = clock::instant();
    let done = within(health.timeout, Box::pin(attempt(upstream, endpoint, asked))).await;
    let done = done.unwrap_or_else(|| Err(Missed::by_peer(format!("no answer within {:?}", health.timeout))));
    // Whoever stood still, or was frozen together with its peers, has seen nothing of them.
    let paused = || !pauses::between(began, clock::instant()).is_zero();
    done.map_err(|missed| Missed { ours: missed.ours || paused(), ..missed })
}

/// What is asked for, and the statuses that are healthy.
type HttpCheck<'a> = Option<(&'a str, (u16, u16))>;

async fn attempt(upstream: &Upstream, endpoint: &EndpointState, asked: HttpCheck<'_>) -> Result<(), Missed> {
    let get = asked.map(|(path, _)| SingleGet { path, fields: &[], read: Bound::NOTHING });
    let answer = single::look(upstream, endpoint, get.as_ref()).await?;
    let (Some(answer), Some((_, (low, high)))) = (answer, asked) else { return Ok(()) };
    let status = answer.head.status.as_u16();
    if (low..=high).contains(&status) {
        Ok(())
    } else {
        Err(Missed::by_peer(format!("status {status}, expected {low}-{high}")))
    }
}

/// How the endpoints of a group and its breaker are.
pub fn sight(group: &Upstream, now: Instant) -> GroupSight {
    let endpoints = group.endpoints.load();
    let called = || endpoints.iter().filter(|endpoint| !connect::is_passed_over(&endpoints, endpoint));
    GroupSight {
        endpoints: called().count(),
        passing: called().filter(|endpoint| endpoint.is_healthy()).count(),
        breaker: BreakerSight::of(&group.gate.view(now)),
    }
}

/// Addresses that one look asks, at most.
const REACHED: usize = 4;

/// Connects once to each address that is called, and speaks TLS where that is spoken; how long that took, or what was missed.
/// It counts nowhere: no breaker and no check hears of it.
pub async fn reach(upstream: &Upstream, limit: Duration) -> Vec<(SocketAddr, Result<Duration, String>)> {
    let endpoints = upstream.endpoints.load_full();
    let called = endpoints.iter().filter(|endpoint| !connect::is_passed_over(&endpoints, endpoint));
    let asked = called.take(REACHED).map(async |endpoint| {
        let began = clock::instant();
        let done = within(limit, Box::pin(attempt(upstream, endpoint, None))).await;
        let took = clock::instant().saturating_duration_since(began);
        let missed = match done {
            Some(Ok(())) => Ok(took),
            Some(Err(missed)) => Err(missed.told),
            None => Err(format!("no answer within {} ms", limit.as_millis())),
        };
        (endpoint.addr, missed)
    });
    futures_util::future::join_all(asked).await
}

/// Checks all endpoints of an upstream until it is gone or the process leaves.
pub async fn watch(upstream: Weak<Upstream>, drain: Drain) {
    let mut known: Vec<(u64, RiseFall)> = Vec::new();
    loop {
        let Some(held) = upstream.upgrade().filter(|held| !held.is_retired()) else { return };
        let Some(health) = held.config.health.clone() else { return };
        let endpoints = held.endpoints.load_full();
        known.retain(|(id, _)| endpoints.iter().any(|endpoint| endpoint.id == *id));
        let mut round = Round::default();
        for (endpoint, checked) in all(&held, &endpoints, &health).await {
            let seen = seen(&checked);
            round.note(seen);
            match seen {
                Checked::Endpoint(Check::Passed) => connect::reached(&endpoints, endpoint),
                Checked::Endpoint(Check::Failed) => {}
                Checked::Unseen => continue,
            }
            if !known.iter().any(|(id, _)| *id == endpoint.id) {
                known.push((endpoint.id, RiseFall::default()));
            }
            let Some((_, state)) = known.iter_mut().find(|(id, _)| *id == endpoint.id) else { continue };
            learn(&held, endpoint, state, checked, &health);
            if state.is_suspect() || !endpoint.is_healthy() {
                round.suspect();
            }
        }
        if let Some(found) = round.found() {
            held.gate.checked(sees(&health), found, clock::instant());
        }
        if !held.gate.is_steady() {
            round.suspect();
        }
        let looked_at = endpoints.iter().filter(|endpoint| !connect::is_passed_over(&endpoints, endpoint));
        let addresses: Vec<String> = looked_at.map(|endpoint| endpoint.addr.to_string()).collect();
        held.series.keep_endpoints(held.group, &addresses);
        drop(held);
        let wait = round.wait(health.interval, health.suspect_interval);
        if pause(&endpoints, wait, health.suspect_interval, &drain).await {
            return;
        }
    }
}

/// What a check says of its endpoint.
fn seen(checked: &Result<(), Missed>) -> Checked {
    match checked {
        Err(missed) if missed.ours => Checked::Unseen,
        checked => Checked::Endpoint(Check::from(checked)),
    }
}

/// Checks made at the same time.
const AT_ONCE: usize = 16;

/// Checks all endpoints that are called, side by side, so that one that hangs delays no other's; they begin spread
/// over the shortest interval.
async fn all<'a>(
    upstream: &Upstream,
    endpoints: &'a [Arc<EndpointState>],
    health: &config::HealthCheck,
) -> Vec<(&'a Arc<EndpointState>, Result<(), Missed>)> {
    let called: Vec<_> =
        endpoints.iter().filter(|endpoint| !connect::is_passed_over(endpoints, endpoint)).collect();
    let apart = health.suspect_interval / u32::try_from(called.len().max(1)).unwrap_or(u32::MAX);
    let mut waiting = (0..).zip(called).map(|(nth, endpoint)| {
        Box::pin(async move {
            tokio::time::sleep(apart * nth).await;
            (endpoint, check(upstream, endpoint, health).await)
        })
    });
    let mut running: Vec<_> = waiting.by_ref().take(AT_ONCE).collect();
    let mut done = Vec::new();
    poll_fn(|cx| {
        let mut nth = 0;
        while let Some(one) = running.get_mut(nth) {
            match one.as_mut().poll(cx) {
                Poll::Pending => nth += 1,
                Poll::Ready(checked) => {
                    done.push(checked);
                    drop(running.swap_remove(nth));
                    running.extend(waiting.next());
                }
            }
        }
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done
}

/// A check that connects sees no answers.
fn sees(health: &config::HealthCheck) -> Sees {
    if health.path.is_some() { Sees::Answering } else { Sees::Connecting }
}

/// One check of one endpoint was made.
fn learn(
    upstream: &Upstream,
    endpoint: &EndpointState,
    state: &mut RiseFall,
    checked: Result<(), Missed>,
    health: &config::HealthCheck,
) {
    let check = Check::from(&checked);
    upstream.series.checked(upstream.group, check);
    let name = upstream.config.name.as_str();
    if check == Check::Passed && endpoint.passed(sees(health), clock::instant()) {
        UpstreamEvent::EndpointReturned { upstream: name, endpoint: &endpoint.addr.to_string() }.tell();
    }
    if let Some(decided) = state.checked(check, health.fall, health.rise)
        && endpoint.set_healthy(decided == Check::Passed)
    {
        let healthy = endpoint.is_healthy();
        let why = checked.err().map_or_else(|| "checks pass".to_owned(), |missed| missed.told);
        let endpoint = &endpoint.addr.to_string();
        Event::EndpointHealth { upstream: name, endpoint, healthy, why: &why }.tell();
    }
    upstream.series.endpoint(upstream.group, endpoint.addr.to_string(), endpoint.is_healthy());
}

/// A harmless connect for a breaker that is half-open for having failed to connect, and that no request probes.
pub async fn connect(upstream: Arc<Upstream>) {
    let limit = upstream.config.timeouts.connect.unwrap_or(Duration::from_secs(3));
    let mut round = Round::default();
    for endpoint in upstream.endpoints.load_full().iter() {
        let checked = within(limit, Box::pin(attempt(&upstream, endpoint, None))).await;
        round.note(checked.as_ref().map_or(Checked::Endpoint(Check::Failed), seen));
        if round.found() == Some(Check::Passed) {
            break;
        }
    }
    if let Some(found) = round.found() {
        upstream.gate.connected(found, clock::instant());
    }
}

/// Waits for the next round; a bad verdict shortens it. True: the process leaves.
async fn pause(endpoints: &[Arc<EndpointState>], wait: Duration, least: Duration, drain: &Drain) -> bool {
    let suspected = async {
        // Which one it was does not matter: all are checked.
        let mut all: Vec<_> = endpoints.iter().map(|endpoint| Box::pin(endpoint.suspected())).collect();
        poll_fn(|cx| {
            let any = all.iter_mut().any(|one| one.as_mut().poll(cx).is_ready());
            if any { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        // However many attempts fail, checks do not come faster than this.
        tokio::time::sleep(least.min(wait)).await;
    };
    tokio::select! {
        () = drain.requested() => true,
        () = tokio::time::sleep(wait) => false,
        () = suspected => false,
    }
}
