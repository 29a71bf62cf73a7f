//! What is done once a second, and at a hangup.

use std::sync::Arc;
use std::time::Duration;

use crate::config::reload::{Cause, Reloader};
use crate::net::tls;
use crate::runtime::drain::Drain;
use crate::runtime::{clock, fds, signals};
use crate::telemetry::Telemetry;
use crate::telemetry::event::Event;
use crate::upstream::health;
use crate::upstream::registry::Registry;

/// What is done once a second: windows turn, breakers look at the time, certificates and descriptors are looked at.
pub(super) async fn seconds(
    registry: Arc<Registry>,
    telemetry: Arc<Telemetry>,
    servers: Vec<(String, tls::Server)>,
    drain: Drain,
) {
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for tick in 1_u64.. {
        tokio::select! {
            () = drain.requested() => return,
            _ = second.tick() => {}
        }
        let now = clock::instant();
        telemetry.rotate(now);
        let world = registry.snapshot().upstreams.values().map(Arc::clone).collect::<Vec<_>>();
        for upstream in world {
            upstream.gate.tick(now);
            upstream.operations.iter().for_each(|operation| operation.gate.tick(now));
            // What is usual is learnt while it is called as usual: how fast it fails says nothing of that.
            if tick % 10 == 0 && upstream.gate.view(now).is_at_ease() {
                let all = telemetry.all_series();
                let of_it = all.iter().filter(|series| series.key.1 == upstream.config.name);
                of_it.for_each(|series| series.learn_usual(now));
            }
            if upstream.gate.wants_connect(now) {
                crate::runtime::tasks::detach(health::connect(upstream));
            }
        }
        if tick % 10 == 0 {
            look_at_certificates(&servers);
            look_at_roots(&registry);
            look_at_descriptors();
        }
    }
}

fn look_at_certificates(servers: &[(String, tls::Server)]) {
    for (listener, server) in servers {
        match server.reload() {
            Ok(true) => Event::CertReloaded { listener }.tell(),
            Ok(false) => {}
            Err(error) => Event::CertRefused { listener, error: &error.to_string() }.tell(),
        }
    }
}

fn look_at_roots(registry: &Registry) {
    for upstream in registry.snapshot().upstreams.values() {
        let Some(client) = &upstream.tls else { continue };
        let name = upstream.config.name.as_str();
        match client.reload() {
            Ok(true) => Event::CertReloaded { listener: name }.tell(),
            Ok(false) => {}
            Err(error) => Event::CertRefused { listener: name, error: &error.to_string() }.tell(),
        }
    }
}

fn look_at_descriptors() {
    if let (Some(used), Some(limit)) = (fds::in_use(), fds::limit())
        && used.saturating_mul(10) > limit.saturating_mul(9)
    {
        Event::FdsLow { used, limit }.tell();
    }
}

pub(super) async fn hangups(reloader: Arc<Reloader>, drain: Drain) {
    let Ok(mut hangups) = signals::hangups() else { return drain.requested().await };
    loop {
        tokio::select! {
            () = drain.requested() => return,
            _ = hangups.recv() => {
                let reloader = Arc::clone(&reloader);
                // The outcome is told by the reloader itself.
                let _ = crate::runtime::tasks::blocking(move || reloader.reload(Cause::Signal)).await;
            }
        }
    }
}
