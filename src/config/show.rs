//! The config as it is in force, every value with its unit, secrets left out.

use serde_json::{Map, Value, json};

use super::channels::{Channel, ChannelKind, WebUrl};
use super::word::Word as _;
use super::{
    AccessLog, AccessSink, ClientTls, Config, Egress, Health, Host, Ingress, Limits, Operation, Pool,
    Process, Protocol, Route, ServerTls, Store, StoreAt, Timeouts, Upstream, desk,
};
use crate::reliability::breaker::BreakerPolicy;
use crate::units::{Percent, Size, Written as _};

fn duration(value: std::time::Duration) -> Value {
    Value::String(value.write())
}

fn maybe(value: Option<std::time::Duration>) -> Value {
    value.map_or(Value::Null, duration)
}

/// Everything, as JSON in the shape of the file.
pub fn effective(config: &Config) -> Value {
    let mut all = Map::new();
    if let Some(ingress) = &config.ingress {
        all.insert("ingress".to_owned(), self::ingress(ingress));
    }
    if let Some(egress) = &config.egress {
        all.insert("egress".to_owned(), self::egress(egress));
    }
    let routes: Map<_, _> =
        config.routes.iter().map(|route| (route.name.as_str().to_owned(), self::route(route))).collect();
    let upstreams: Map<_, _> = config
        .upstreams
        .iter()
        .map(|upstream| (upstream.name.as_str().to_owned(), self::upstream(upstream)))
        .collect();
    let notify: Map<_, _> = config
        .notify
        .iter()
        .map(|channel| (channel.name.as_str().to_owned(), self::channel(channel)))
        .collect();
    let admin = json!({
        "listen": config.admin.listen.to_string(),
        "token": config.admin.token.as_ref().map(|_| "set"),
        "hosts": config.admin.hosts,
    });
    all.insert("routes".to_owned(), routes.into());
    all.insert("upstreams".to_owned(), upstreams.into());
    all.insert("notify".to_owned(), notify.into());
    all.insert("admin".to_owned(), admin);
    all.insert("latency".to_owned(), desk::show_latency(&config.latency));
    all.extend(desk::show(&config.watch).map(|(table, shown)| (table.to_owned(), shown)));
    all.insert("access_log".to_owned(), access_log(&config.access_log));
    all.insert("store".to_owned(), config.store.as_ref().map_or(Value::Null, store));
    all.insert("process".to_owned(), process(&config.process));
    all.into()
}

fn ingress(ingress: &Ingress) -> Value {
    let tls = |tls: &ServerTls| json!({ "cert_file": tls.cert_file, "key_file": tls.key_file });
    json!({
        "listen": ingress.listen.to_string(),
        "upstream": ingress.upstream.as_str(),
        "trusted_hops": ingress.trusted_hops,
        "claim_sre_api": ingress.claim_sre_api,
        "tls": ingress.tls.as_ref().map(tls),
        "limits": limits(&ingress.limits),
    })
}

fn egress(egress: &Egress) -> Value {
    json!({
        "listen": egress.listen.to_string(),
        "unlisted": egress.unlisted.word(),
        "limits": limits(&egress.limits),
    })
}

fn access_log(log: &AccessLog) -> Value {
    let to = match &log.to {
        None => "off".to_owned(),
        Some(AccessSink::Stdout) => "stdout".to_owned(),
        Some(AccessSink::File(path)) => format!("file:{}", path.display()),
    };
    let sample = format!("{}%", log.sample * 100.0);
    json!({ "to": to, "sample": sample, "keep_query": log.keep_query })
}

fn store(store: &Store) -> Value {
    let (url, password) = match &store.at {
        StoreAt::Sqlite(path) => (format!("sqlite:{}", path.display()), None),
        StoreAt::Postgres { url, password } => (url.clone(), password.as_ref().map(|_| "set")),
    };
    json!({
        "url": url,
        "password": password,
        "backlog": store.backlog,
        "retention": {
            "incidents": duration(store.retention.incidents),
            "audit": duration(store.retention.audit),
            "samples": duration(store.retention.samples),
            "ledger": duration(store.retention.ledger),
        },
        "backup": store.backup.as_ref().map(|backup| json!({
            "every": duration(backup.every),
            "to": backup.to.display().to_string(),
            "keep": backup.keep,
        })),
    })
}

fn process(process: &Process) -> Value {
    json!({
        "name": process.name,
        "workers": process.workers,
        "drain_for": duration(process.drain_for),
        "lame_duck": duration(process.lame_duck),
        "kept_bodies": Size(process.kept_bodies as u64).write(),
        "log": process.log,
        "log_json": process.log_json,
    })
}

fn limits(limits: &Limits) -> Value {
    json!({
        "connections": limits.connections,
        "header_bytes": Size(limits.header_bytes as u64).write(),
        "header_count": limits.header_count,
        "header_read": duration(limits.header_read),
        "keep_alive": duration(limits.keep_alive),
        "half_close": duration(limits.half_close),
        "requests_per_connection": limits.requests_per_connection.unwrap_or(0),
        "h2_streams": limits.h2_streams,
    })
}

fn timeouts(timeouts: &Timeouts) -> Value {
    json!({
        "connect": maybe(timeouts.connect),
        "first_byte": maybe(timeouts.first_byte),
        "idle": maybe(timeouts.idle),
        "per_try": maybe(timeouts.per_try),
        "total": maybe(timeouts.total),
    })
}

fn route(route: &Route) -> Value {
    json!({
        "host": route.host,
        "path": route.path.template(),
        "prefix": route.path.prefix(),
        "upstream": route.upstream.as_str(),
        "body_limit": route.body_limit.map(|bytes| Size(bytes).write()),
        "timeouts": timeouts(&route.timeouts),
        "latency": desk::show_measured(route.latency.as_ref()),
    })
}

fn upstream(upstream: &Upstream) -> Value {
    let tls = |tls: &ClientTls| json!({ "server_name": tls.server_name, "ca_file": tls.ca_file });
    json!({
        "endpoints": upstream.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "hosts": upstream.hosts,
        "protocol": upstream.protocol.word(),
        "tls": upstream.tls.as_ref().map(tls),
        "upgrade_tls": upstream.upgrade_tls,
        "local": upstream.local.map(|local| local.to_string()),
        "allow_addresses": upstream.allow_addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "timeouts": timeouts(&upstream.timeouts),
        "pool": pool(upstream.pool, upstream.protocol),
        "health": upstream.health.as_ref().map(health),
        "breaker": breaker(&upstream.breaker, &upstream.operations),
        "judge": {
            "bad_statuses": upstream.judge.bad_statuses.iter().map(statuses).collect::<Vec<_>>(),
            "slow_after": maybe(upstream.judge.slow_after),
        },
        "retry": {
            "attempts": upstream.retry.attempts,
            "idempotent": upstream.retry.idempotent,
            "budget": format!("{}%", upstream.retry.budget_percent),
            "min_per_second": upstream.retry.min_per_second,
            "backoff": duration(upstream.retry.backoff),
            "wait": duration(upstream.retry.wait),
            "keep_body": Size(upstream.keep_body as u64).write(),
        },
        "dns": { "min_ttl": duration(upstream.dns_ttl.0), "max_ttl": duration(upstream.dns_ttl.1) },
    })
}

/// Secrets as "set", addresses without what may be one.
fn channel(channel: &Channel) -> Value {
    let mut shown = match &channel.kind {
        ChannelKind::Webhook { url, .. } => json!({ "kind": "webhook", "url": url.shown, "secret": "set" }),
        ChannelKind::PagerDuty { url, .. } => {
            json!({ "kind": "pagerduty", "url": url.shown, "routing_key": "set" })
        }
        ChannelKind::Slack { url } => json!({ "kind": "slack", "url": url.shown }),
        ChannelKind::Alertmanager { urls, token, interval } => json!({
            "kind": "alertmanager",
            "urls": urls.iter().map(|url: &WebUrl| url.shown.as_str()).collect::<Vec<_>>(),
            "token": token.as_ref().map(|_| "set"),
            "interval": duration(*interval),
        }),
        ChannelKind::Email(mail) => json!({
            "kind": "email",
            "server": endpoint(&mail.server),
            "tls": mail.tls.word(),
            "username": mail.login.as_ref().map(|(user, _)| user),
            "password": mail.login.as_ref().map(|_| "set"),
            "from": mail.from,
            "to": mail.to,
        }),
    };
    shown["ca_file"] = json!(channel.ca_file);
    shown
}

fn endpoint(endpoint: &super::Endpoint) -> String {
    match &endpoint.host {
        Host::Name(name) => {
            let dot = if name.complete { "." } else { "" };
            format!("{}{dot}:{}", name.text, endpoint.port)
        }
        Host::Address(ip) => std::net::SocketAddr::new(*ip, endpoint.port).to_string(),
    }
}

fn pool(pool: Pool, protocol: Protocol) -> Value {
    let idle_for = if protocol == Protocol::H2 { pool.idle_for.h2 } else { pool.idle_for.h1 };
    json!({
        "idle_per_worker": pool.idle_per_worker,
        "idle_for": duration(idle_for),
        "connections": pool.connections,
    })
}

fn statuses((low, high): &(u16, u16)) -> String {
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

fn health(health: &Health) -> Value {
    json!({
        "path": health.path,
        "expect": statuses(&health.expect),
        "interval": duration(health.interval),
        "suspect_interval": duration(health.suspect_interval),
        "timeout": duration(health.timeout),
        "fall": health.fall,
        "rise": health.rise,
    })
}

fn breaker(breaker: &BreakerPolicy, operations: &[Operation]) -> Value {
    let path = |operation: &Operation| (operation.name.as_str().to_owned(), Value::from(&*operation.path));
    let share = |share: Option<Percent>| share.map_or("off".to_owned(), |share| share.to_string());
    json!({
        "mode": breaker.mode.label(),
        "failures": breaker.failures.map_or(0, std::num::NonZeroU32::get),
        "failure_rate": share(breaker.failure_rate),
        "slow_rate": share(breaker.slow_rate),
        "window": duration(breaker.window),
        "min_requests": breaker.min_requests,
        "lump": duration(breaker.lump),
        "open_for": duration(breaker.open_for),
        "open_for_max": duration(breaker.open_for_max),
        "successes": breaker.successes,
        "probes": breaker.probes,
        "probe_timeout": duration(breaker.probe_timeout),
        "ramp": duration(breaker.ramp),
        "operations": operations.iter().map(path).collect::<Map<_, _>>(),
    })
}
