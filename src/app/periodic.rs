//! Periodic work: what is done once a second, and at a hangup.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::reload::{ReloadCause, Reloader};
use crate::control::Own;
use crate::net::tls;
use crate::runtime::drain::Drain;
use crate::runtime::tasks::Tasks;
use crate::runtime::timer::every;
use crate::runtime::{clock, fds, pauses, signals};
use crate::telemetry::Telemetry;
use crate::telemetry::event::{Event, ProcessEvent};
use crate::upstream::registry::{Registry, World};
use crate::upstream::{health, named};

/// Begins what is done once a second, the looks at what is under way, and the readings of the application's own document.
pub(super) fn begin(
    tasks: &Tasks,
    (registry, telemetry): (&Arc<Registry>, &Arc<Telemetry>),
    shown: (Vec<(String, tls::Server)>, Own),
    drain: &Drain,
) {
    tasks.spawn("names", named::watch(Arc::clone(registry), drain.clone()));
    tasks.spawn("loads", loads(Arc::clone(registry), drain.clone()));
    tasks.spawn("seconds", seconds(Arc::clone(registry), Arc::clone(telemetry), shown, drain.clone()));
}

/// What is done once a second: windows turn, breakers look at the time, certificates and descriptors are looked at.
async fn seconds(
    registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    (servers, own): (Vec<(String, tls::Server)>, Own),
    drain: Drain,
) {
    let mut second = every(Duration::from_secs(1));
    let looks = CertificateLooks::new(servers, own);
    for tick in 1_u64.. {
        tokio::select! {
            () = drain.requested() => return,
            _ = second.tick() => {}
        }
        let now = clock::instant();
        telemetry.rotate(now);
        let world = registry.snapshot();
        for upstream in world.groups().map(Arc::clone) {
            upstream.gate.tick(now);
            upstream.operations.iter().for_each(|operation| operation.gate.tick(now));
            if upstream.gate.wants_connect(now) {
                crate::runtime::tasks::detach(
                    "upstream",
                    "connecting for a probe",
                    health::connect(upstream),
                );
            }
        }
        learn(&world, &telemetry, tick, now);
        drop(world);
        if tick % 10 == 0 {
            looks.begin(&registry);
            look_at_descriptors();
        }
    }
}

/// Looks at what is under way to the upstreams behind the ingress, while that is limited.
async fn loads(registry: Arc<Registry>, drain: Drain) {
    loop {
        let wait = registry.look_at_loads(clock::instant());
        tokio::select! {
            () = drain.requested() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Looks at certificates and roots, on a thread of its own: files may hang, and windows must turn.
struct CertificateLooks {
    own: Own,
    servers: Arc<Vec<(String, tls::Server)>>,
    /// What was told of each, so that it is told once; `None`: a look is under way.
    told: Arc<Mutex<Option<BTreeMap<String, String>>>>,
}

impl CertificateLooks {
    fn new(servers: Vec<(String, tls::Server)>, own: Own) -> Self {
        Self { own, servers: Arc::new(servers), told: Arc::new(Mutex::new(Some(BTreeMap::new()))) }
    }

    /// Begins a look, unless the last one is still under way.
    fn begin(&self, registry: &Arc<Registry>) {
        let held = self.told.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut told) = held else { return };
        let (servers, world, back) = (Arc::clone(&self.servers), registry.snapshot(), Arc::clone(&self.told));
        let own = self.own.clone();
        let look = move || {
            for (listener, server) in &*servers {
                tell(listener, server.reload(), &mut told);
                if let Some(valid) = server.validity() {
                    own.certificate(listener, valid);
                }
            }
            for upstream in world.upstreams.values() {
                if let Some(client) = &upstream.tls {
                    tell(upstream.config.name.as_str(), client.reload(), &mut told);
                }
            }
            told
        };
        crate::runtime::tasks::detach("app", "reading certificates", async move {
            let told = crate::runtime::tasks::apart(look).await.unwrap_or_default();
            *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        });
    }
}

fn tell(of: &str, reloaded: Result<bool, tls::TlsError>, told: &mut BTreeMap<String, String>) {
    match reloaded {
        Ok(is_new) => {
            told.remove(of);
            if is_new {
                Event::CertReloaded { listener: of }.tell();
            }
        }
        Err(error) => {
            let error = error.to_string();
            if told.insert(of.to_owned(), error.clone()).as_ref() != Some(&error) {
                Event::CertRefused { listener: of, error: &error }.tell();
            }
        }
    }
}

/// What is usual is learnt of each series within ten seconds and then once a minute, of some of them at a time.
fn learn(world: &World, telemetry: &Telemetry, tick: u64, now: Instant) {
    let all = telemetry.all_series();
    for (series, _) in all.iter().zip(tick..).filter(|(series, turn)| series.learns_at(*turn)) {
        let upstream = world.in_force(&series.key.1);
        if upstream.is_some_and(|upstream| upstream.gate.view(now).is_closed_by_evidence()) {
            series.learn_usual(now);
        }
    }
}

/// What the process needs before anything else: TLS, as many descriptors as there may be (and some of them for those who must
/// go on), a look at whether it stands still.
pub(super) fn prepare() -> std::io::Result<()> {
    tls::install_provider();
    let fds::Limit { was, now } = fds::raise_limit();
    ProcessEvent::FdLimit { was, limit: now, kept: fds::reserve(now) }.tell();
    pauses::watch()
}

fn look_at_descriptors() {
    if let (Some(used), Some(limit)) = (fds::in_use(), fds::limit())
        && used.saturating_mul(10) > limit.saturating_mul(9)
    {
        ProcessEvent::FdsLow { used, limit }.tell();
    }
}

pub(super) async fn hangups(
    reloader: Arc<Reloader>,
    hangups: std::io::Result<signals::Signal>,
    drain: Drain,
) {
    let Ok(mut hangups) = hangups else { return drain.requested().await };
    loop {
        tokio::select! {
            () = drain.requested() => return,
            _ = hangups.recv() => {
                let reloader = Arc::clone(&reloader);
                let reload = crate::runtime::tasks::apart(move || reloader.reload(ReloadCause::Signal));
                tokio::select! {
                    () = drain.requested() => return,
                    // The outcome is told by the reloader itself.
                    done = reload => {
                        if let Some(Err(busy)) = done {
                            Event::ReloadBusy { why: &busy.to_string() }.tell();
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::RouteName;
    use crate::reliability::breaker::{ExchangeEvidence, PermitRequest};
    use crate::reliability::verdict::{BadReason, Verdict};
    use crate::telemetry::access::AccessLog;
    use crate::telemetry::series::{Direction, ExchangeOutcome, Finished, Method, Series};

    /// Twenty answers, each after so many milliseconds.
    fn answered(series: &Series, millis: u64, now: Instant) {
        let took = Duration::from_millis(millis);
        let one = Finished {
            worker: 0,
            client: 1,
            method: Method::Get,
            status: Some(500),
            outcome: ExchangeOutcome::ServerError,
            first_byte: Some(took),
            total: took,
            bytes_in: 0,
            bytes_out: 0,
            trace_id: None,
            slow: false,
            now,
        };
        (0..20).for_each(|_| series.finished(&one));
    }

    #[tokio::test]
    async fn how_fast_a_failing_upstream_answers_is_not_what_is_usual() {
        let text = r#"
            [egress]
            [upstreams.stripe]
            preset = "stripe"
        "#;
        let config = Arc::new(crate::config::load(text, "a test", &[]).expect("it can run"));
        let start = clock::now();
        let now = start.instant + Duration::from_secs(1);
        let telemetry = Telemetry::new(1, AccessLog::off(), start);
        let (registry, fresh) = Registry::new(config, Arc::clone(&telemetry), 1);
        let gate = &fresh.first().expect("one").gate;
        let route = RouteName::new("default").expect("a name");
        let series = telemetry.series(&route, &fresh[0].config.name, Direction::Egress);
        answered(&series, 1, now);
        telemetry.rotate(now);
        for _ in 0..3 {
            let permit = gate.admit(0, now, 0, || PermitRequest::SAFE).expect("admitted");
            permit.settle(&ExchangeEvidence::of(Verdict::Bad(BadReason::Status), now), now);
        }
        let look = || learn(&registry.snapshot(), &telemetry, 10, now);
        look();
        assert_eq!(series.usual(), None, "its breaker is open");
        gate.close(true, now);
        look();
        assert!(series.usual().is_some(), "it is called as usual");
    }
}
