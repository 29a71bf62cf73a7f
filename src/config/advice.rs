//! Advice on a config that can run: numbers that do not add up, with the arithmetic and what to write instead.
//!
//! Only `strop check` prints it. Nothing here is an error: each sentence names the numbers that it is made of,
//! so an operator can disagree.
//!
//! The idea is Shopify's (<https://shopify.engineering/circuit-breaker-misconfigured>): a slightly misconfigured
//! breaker protects no better than none.

use std::sync::Arc;
use std::time::Duration;

use super::{Config, Route, Timeouts, UpstreamConfig, presets};
use crate::reliability::breaker::Mode;
use crate::reliability::drill::{DrillMode, PaymentsAtRisk};
use crate::reliability::retry::RetryPolicy;
use crate::units::Written as _;

/// The longest time that a breaker may take to open when its upstream hangs and calls come one after the other.
///
/// Chosen: three failures of the default `first_byte` (60 s) are just within it, as the guide's breakers are with
/// nothing else written; three of the 80 s that Stripe's SDK waits are not.
const OPENS_WITHIN: Duration = Duration::from_secs(180);

/// What is proposed instead: a breaker that opens this soon.
const SHOULD_OPEN_WITHIN: Duration = Duration::from_secs(60);

/// The largest share of a caller's time that an upstream that stays down may cost while its breaker works.
const HELD_AT_MOST: f64 = 0.5;

/// The longest time that checks alone may take to see that an endpoint is down: twice the 30 s after which the guide
/// calls a service down.
const SEEN_WITHIN: Duration = Duration::from_secs(60);

/// A number that is probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// Its key, such as `upstreams.stripe.timeouts.first_byte`; routes are named, not counted.
    pub at: String,
    /// The arithmetic, and what to write instead.
    pub says: String,
}

/// All advice, upstream by upstream, then route by route.
pub fn of(config: &Config) -> Vec<Advice> {
    let mut all = Vec::new();
    for upstream in &config.upstreams {
        if trips(upstream) {
            all.extend(hang(upstream));
            all.extend(held_by_probes(upstream));
            all.extend(never_slow(upstream));
        }
        all.extend(shadow(config, upstream));
        all.extend(layers(config, upstream));
        all.extend(tries(&format!("upstreams.{}", upstream.name), upstream.timeouts, &upstream.retry));
        all.extend(checks(upstream));
        all.extend(keys(upstream));
    }
    for route in config.routes.iter().filter(|route| route.timeouts != Timeouts::default()) {
        if let Some(upstream) = config.upstreams.iter().find(|upstream| upstream.name == route.upstream) {
            let timeouts = route.timeouts.over(upstream.timeouts);
            let own = tries(&format!("routes.{}", route.name), timeouts, &upstream.retry);
            all.extend(own.filter(|_| tries("", upstream.timeouts, &upstream.retry).is_none()));
        }
    }
    all.extend(config.routes.iter().filter_map(|route| keys_of(config, route)));
    all.extend(monthly(config));
    all
}

/// Does nothing there send a write again by its key?
fn repeats_no_key(upstream: &UpstreamConfig) -> bool {
    !upstream.retry.idempotent && upstream.outbox.is_none()
}

const NO_REPEAT: &str =
    "writes are given a key, and nothing is repeated by it while retry.idempotent is off; write";

/// Keys that are given to all writes, and by which none is repeated.
fn keys(upstream: &UpstreamConfig) -> Option<Advice> {
    let injects = upstream.keys.as_ref().is_some_and(|keys| keys.inject);
    (injects && repeats_no_key(upstream)).then(|| Advice {
        at: key(upstream, "idempotency.inject"),
        says: format!("{NO_REPEAT} retry.idempotent = true, or leave inject out"),
    })
}

/// The same of one route.
fn keys_of(config: &Config, route: &Route) -> Option<Advice> {
    let upstream = config.upstreams.iter().find(|upstream| upstream.name == route.upstream)?;
    (route.inject_key == Some(true) && repeats_no_key(upstream)).then(|| Advice {
        at: format!("routes.{}.inject_key", route.name),
        says: format!(
            "{NO_REPEAT} upstreams.{}.retry.idempotent = true, or leave inject_key out",
            upstream.name
        ),
    })
}

/// A drill of each month whose order is refused each time.
fn monthly(config: &Config) -> Option<Advice> {
    let plan = &config.drill_schedule.as_ref()?.plan;
    let told = |at: &str, says: String| Some(Advice { at: at.to_owned(), says });
    if config.drill.mode == DrillMode::Off {
        let says = format!(
            "drills are off, so the one on the {} is refused each time; write drill.mode = \"on\"",
            plan.when
        );
        return told("drill.schedule", says);
    }
    let pays = |upstream: &&Arc<UpstreamConfig>| upstream.name.as_str() == &*plan.order.upstream;
    let pays = config.upstreams.iter().find(pays).is_some_and(|upstream| upstream.takes_payments());
    if pays && plan.payments == PaymentsAtRisk::Yes {
        let says = format!(
            "{} takes payments, so the drill is refused each time; write payments = true if its breaker may refuse them \
             meanwhile, or another upstream",
            plan.order.upstream
        );
        return told("drill.schedule.payments", says);
    }
    None
}

/// Does its breaker refuse anything?
fn trips(upstream: &UpstreamConfig) -> bool {
    upstream.breaker.mode == Mode::On
}

/// Numbers of a breaker that was written without a mode behind the ingress, where it is in shadow by default.
fn shadow(config: &Config, upstream: &UpstreamConfig) -> Option<Advice> {
    let written = config.written(&["upstreams", upstream.name.as_str(), "breaker"])?.as_object()?;
    let unasked = !written.is_empty() && ["mode", "enabled"].iter().all(|key| !written.contains_key(*key));
    (unasked && upstream.breaker.mode == Mode::Shadow).then(|| Advice {
        at: key(upstream, "breaker"),
        says: "its numbers are written, and behind the ingress a breaker is in shadow unless it is asked for: it counts, \
               tells and refuses nothing; write mode = \"on\" to let it refuse, or mode = \"shadow\" to say that this is \
               meant"
            .to_owned(),
    })
}

fn is_behind_the_ingress(config: &Config, upstream: &UpstreamConfig) -> bool {
    config.ingress.as_ref().is_some_and(|ingress| ingress.upstream == upstream.name)
        || config.routes.iter().any(|route| route.upstream == upstream.name)
}

fn key(upstream: &UpstreamConfig, key: &str) -> String {
    format!("upstreams.{}.{key}", upstream.name)
}

/// The limit that ends an attempt whose upstream has accepted the request and never answers, with its key.
fn patience(timeouts: Timeouts) -> Option<(&'static str, Duration)> {
    [("per_try", timeouts.per_try), ("first_byte", timeouts.first_byte), ("total", timeouts.total)]
        .into_iter()
        .filter_map(|(key, limit)| Some((key, limit?)))
        .min_by_key(|(_, limit)| *limit)
}

/// An upstream that hangs: `failures` × the limit of an attempt, as one caller sees it. Where the caller gives up
/// first, nothing is counted at all: a client that leaves is no evidence.
fn hang(upstream: &UpstreamConfig) -> Option<Advice> {
    let failures = upstream.breaker.failures?.get();
    let name = &upstream.name;
    let sdk = presets::sdk(upstream);
    let (limit_key, limit) = patience(upstream.timeouts)?;
    let after = limit * failures;
    let leaves = sdk.filter(|sdk| limit >= sdk.timeout);
    if after <= OPENS_WITHIN && leaves.is_none() {
        return None;
    }
    let wanted = SHOULD_OPEN_WITHIN.as_secs().div_euclid(u64::from(failures)).max(1);
    let mut says = format!(
        "the breaker opens at the earliest {} s after {name} begins to hang when calls come one after the other \
         ({failures} failures × {limit_key} = \"{}\"), to refuse for {} s then",
        after.as_secs(),
        limit.write(),
        upstream.breaker.open_for.as_secs()
    );
    if let Some(sdk) = leaves {
        says.push_str(&format!(
            "; {} gives up after {} s, and a client that has left counts as no failure",
            sdk.who,
            sdk.timeout.as_secs()
        ));
    }
    // A shorter `total` would cut answers off that have begun.
    let shorter = if limit_key == "per_try" { "per_try" } else { "first_byte" };
    says.push_str(&format!("; write timeouts.{shorter} = \"{wanted}s\""));
    Some(Advice { at: key(upstream, &format!("timeouts.{shorter}")), says })
}

/// Callers held by probes of an upstream that stays down, on average: each cycle is a wait of `open_for` and then
/// `probes` requests of up to `probe_timeout`, so `probes` × p / (`open_for` + p). It falls as the wait grows.
fn held_by_probes(upstream: &UpstreamConfig) -> Option<Advice> {
    let breaker = &upstream.breaker;
    let (wait, probe) = (breaker.open_for, breaker.probe_timeout);
    let held = f64::from(breaker.probes.get()) * probe.as_secs_f64() / (wait + probe).as_secs_f64();
    if held <= HELD_AT_MOST {
        return None;
    }
    let fits = (wait.as_secs_f64() / (2.0 * f64::from(breaker.probes.get()) - 1.0)).floor().max(1.0);
    Some(Advice {
        at: key(upstream, "breaker.probe_timeout"),
        says: format!(
            "while {} stays down, its probes hold {:.0} % of a caller's time: {} × {} in each cycle of {} + {}; write \
             breaker.probe_timeout = \"{fits}s\" or a longer breaker.open_for",
            upstream.name,
            held * 100.0,
            breaker.probes,
            probe.write(),
            wait.write(),
            probe.write()
        ),
    })
}

/// A share of slow answers that nothing is slow enough for.
fn never_slow(upstream: &UpstreamConfig) -> Option<Advice> {
    let share = upstream.breaker.slow_rate?;
    let (limit_key, limit) = patience(upstream.timeouts).unwrap_or(("first_byte", Duration::MAX));
    let says = match upstream.judge.slow_after {
        None => format!(
            "{share} of slow answers open the breaker, but none is slow; write judge.slow_after = \"5s\""
        ),
        Some(slow) if slow >= limit => format!(
            "answers are slow after {}, but {limit_key} ends an attempt after {}; write a shorter judge.slow_after",
            slow.write(),
            limit.write()
        ),
        Some(_) => return None,
    };
    Some(Advice { at: key(upstream, "breaker.slow_rate"), says })
}

/// Layers that repeat multiply: tries behind the ingress × those of the SDK × those of this upstream. Only repeats of
/// what may have been processed are counted; what provably never left does no harm.
fn layers(config: &Config, upstream: &UpstreamConfig) -> Option<Advice> {
    if is_behind_the_ingress(config, upstream) {
        return None;
    }
    let repeats = |retry: &RetryPolicy| retry.idempotent || !retry.statuses.is_empty();
    let tries = |retry: &RetryPolicy| if repeats(retry) { retry.attempts } else { 1 };
    let front = config.ingress.as_ref().map(|ingress| &ingress.upstream);
    let front = config.upstreams.iter().find(|other| Some(&other.name) == front);
    let sdk = presets::sdk(upstream).filter(|sdk| sdk.retries > 0);
    let mut parts = Vec::new();
    if let Some(front) = front.filter(|front| tries(&front.retry) > 1) {
        parts.push((
            tries(&front.retry),
            format!("upstreams.{}.retry.attempts = {}", front.name, front.retry.attempts),
        ));
    }
    if let Some(sdk) = sdk {
        parts.push((sdk.retries + 1, format!("1 + {} retries of {}", sdk.retries, sdk.who)));
    }
    if tries(&upstream.retry) > 1 {
        parts.push((tries(&upstream.retry), format!("retry.attempts = {}", upstream.retry.attempts)));
    }
    if parts.len() < 2 {
        return None;
    }
    let product: u32 = parts.iter().map(|(tries, _)| tries).product();
    let parts: Vec<String> = parts.into_iter().map(|(_, part)| part).collect();
    Some(Advice {
        at: key(upstream, "retry.attempts"),
        says: format!(
            "layers that repeat multiply: one request may become {product} at {} ({}); write retry.idempotent = false \
             and no retry.statuses in all layers but one",
            upstream.name,
            parts.join(" × ")
        ),
    })
}

/// Tries that have no time left.
fn tries(at: &str, timeouts: Timeouts, retry: &RetryPolicy) -> Option<Advice> {
    let (per_try, total) = (timeouts.per_try?, timeouts.total?);
    if per_try >= total {
        return Some(Advice {
            at: format!("{at}.timeouts.per_try"),
            says: format!(
                "per_try = \"{}\" never ends an attempt: total = \"{}\" ends the exchange no later; write a per_try of at \
                 most \"{}\", or leave it out",
                per_try.write(),
                total.write(),
                part(total, retry.attempts.max(2)).write()
            ),
        });
    }
    // Only then is an attempt repeated that has used up its time.
    (retry.idempotent && per_try * retry.attempts > total).then(|| Advice {
        at: format!("{at}.timeouts.total"),
        says: format!(
            "{} attempts × per_try = \"{}\" take {}, and total = \"{}\" cuts the last ones off; write per_try = \"{}\"",
            retry.attempts,
            per_try.write(),
            (per_try * retry.attempts).write(),
            total.write(),
            part(total, retry.attempts).write()
        ),
    })
}

/// An equal part, in whole seconds where there are some.
fn part(of: Duration, parts: u32) -> Duration {
    let part = of / parts;
    if part >= Duration::from_secs(1) { Duration::from_secs(part.as_secs()) } else { part }
}

/// How long checks alone take to see that an endpoint is down: up to `interval` to the first bad check, then `fall` − 1
/// more, `suspect_interval` apart; each may take `timeout`. Traffic that fails brings the first one forward.
fn checks(upstream: &UpstreamConfig) -> Option<Advice> {
    let health = upstream.health.as_ref()?;
    let after = health.interval + health.suspect_interval * (health.fall - 1) + health.timeout * health.fall;
    (after > SEEN_WITHIN).then(|| Advice {
        at: key(upstream, "health.interval"),
        says: format!(
            "without traffic, checks see that {} is down after up to {}: {} + {} × {} + {} × {}; the breaker and the \
             incident are sooner; write health.interval = \"10s\", suspect_interval = \"1s\"",
            upstream.name,
            after.write(),
            health.interval.write(),
            health.fall - 1,
            health.suspect_interval.write(),
            health.fall,
            health.timeout.write()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;
    use crate::config::tests::config_text;

    fn of_text(text: &str) -> Vec<(String, String)> {
        let config = load(text, "a test", &[]).unwrap_or_else(|problems| panic!("{problems}"));
        of(&config).into_iter().map(|advice| (advice.at, advice.says)).collect()
    }

    const VENDOR: &str = r#"[egress]
[upstreams.vendor]
hosts = ["v.example"]
endpoints = ["v.example:80"]
timeouts = { first_byte = "10s" }
"#;
    const BACKEND: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";

    #[test]
    fn numbers_that_do_not_add_up_are_told_with_what_to_write() {
        for (text, at, says) in [
            (
                config_text(
                    r#"
                        [egress]
                        [upstreams.stripe]
                        preset = "stripe"
                        timeouts = { first_byte = "80s" }
                    "#,
                ),
                "upstreams.stripe.timeouts.first_byte",
                "at the earliest 240 s after stripe begins to hang",
            ),
            (
                config_text(
                    r#"
                        [egress]
                        [upstreams.stripe]
                        preset = "stripe"
                        timeouts = { first_byte = "90s" }
                        breaker = { failures = 1 }
                    "#,
                ),
                "upstreams.stripe.timeouts.first_byte",
                "Stripe's SDK gives up after 80 s",
            ),
            (
                VENDOR.replace("first_byte = \"10s\"", "per_try = \"50s\""),
                "upstreams.vendor.timeouts.per_try",
                "5 failures × per_try = \"50s\"), to refuse for 30 s then; write timeouts.per_try = \"12s\"",
            ),
            (
                format!("{VENDOR}breaker = {{ open_for = \"5s\", probe_timeout = \"20s\" }}\n"),
                "upstreams.vendor.breaker.probe_timeout",
                "hold 80 % of a caller's time: 1 × 20s in each cycle of 5s + 20s; write breaker.probe_timeout = \"5s\"",
            ),
            (
                format!("{VENDOR}breaker = {{ probes = 3 }}\n"),
                "upstreams.vendor.breaker.probe_timeout",
                "75 % of a caller's time: 3 × 10s in each cycle of 30s + 10s; write breaker.probe_timeout = \"6s\"",
            ),
            (
                format!("{VENDOR}breaker = {{ slow_rate = \"50%\" }}\n"),
                "upstreams.vendor.breaker.slow_rate",
                "write judge.slow_after",
            ),
            (
                format!("{VENDOR}breaker = {{ slow_rate = \"50%\" }}\njudge = {{ slow_after = \"10s\" }}\n"),
                "upstreams.vendor.breaker.slow_rate",
                "first_byte ends an attempt after 10s",
            ),
            (
                config_text(
                    r#"
                        [egress]
                        [upstreams.stripe]
                        preset = "stripe"
                        retry = { idempotent = true }
                    "#,
                ),
                "upstreams.stripe.retry.attempts",
                "one request may become 6 at stripe (1 + 2 retries of Stripe's SDK × retry.attempts = 2)",
            ),
            (
                format!(
                    "{BACKEND}retry = {{ idempotent = true, attempts = 3 }}\n{VENDOR}retry = {{ idempotent = true }}\n"
                ),
                "upstreams.vendor.retry.attempts",
                "may become 6 at vendor (upstreams.backend.retry.attempts = 3 × retry.attempts = 2)",
            ),
            (
                format!(
                    "{BACKEND}retry = {{ statuses = [\"503\"] }}\n{VENDOR}retry = {{ idempotent = true }}\n"
                ),
                "upstreams.vendor.retry.attempts",
                "may become 4 at vendor",
            ),
            (
                format!("{BACKEND}timeouts = {{ per_try = \"30s\", total = \"30s\" }}\n"),
                "upstreams.backend.timeouts.per_try",
                "write a per_try of at most \"15s\"",
            ),
            (
                format!(
                    "{BACKEND}timeouts = {{ per_try = \"10s\", total = \"20s\" }}\n\
                     retry = {{ idempotent = true, attempts = 3 }}\n"
                ),
                "upstreams.backend.timeouts.total",
                "3 attempts × per_try = \"10s\" take 30s, and total = \"20s\" cuts the last ones off; write per_try = \"6s\"",
            ),
            (
                config_text(&format!(
                    r#"
                        {BACKEND}timeouts = {{ per_try = "10s" }}
                        [[routes]]
                        path = "/a/{{id}}"
                        timeouts = {{ total = "8s" }}
                    "#
                )),
                "routes.a_id.timeouts.per_try",
                "never ends an attempt",
            ),
            (
                format!("{BACKEND}health = {{ interval = \"1m\" }}\n"),
                "upstreams.backend.health.interval",
                "after up to 1m8s: 1m + 2 × 1s + 3 × 2s",
            ),
            (
                format!("{VENDOR}idempotency = {{ header = \"Idempotency-Key\", inject = true }}\n"),
                "upstreams.vendor.idempotency.inject",
                "while retry.idempotent is off; write retry.idempotent = true, or leave inject out",
            ),
            (
                format!(
                    "{BACKEND}idempotency = {{ header = \"Idempotency-Key\" }}\n\
                     [[routes]]\npath = \"/a\"\ninject_key = true\n"
                ),
                "routes.a.inject_key",
                "write upstreams.backend.retry.idempotent = true, or leave inject_key out",
            ),
            (
                format!(
                    "{BACKEND}[drill.schedule]\non = \"day 15\"\nat = \"10:00\"\nupstream = \"backend\"\n"
                ),
                "drill.schedule",
                "the one on the day 15 at 10:00 UTC is refused each time; write drill.mode = \"on\"",
            ),
            (
                "[egress]\n[upstreams.stripe]\npreset = \"stripe\"\n[drill]\nmode = \"on\"\n\
                 [drill.schedule]\non = \"day 15\"\nat = \"10:00\"\nupstream = \"stripe\"\n"
                    .to_owned(),
                "drill.schedule.payments",
                "stripe takes payments",
            ),
        ] {
            let told = of_text(&text);
            assert!(told.iter().any(|(key, said)| key == at && said.contains(says)), "{text}\n{told:#?}");
            assert_eq!(told.len(), 1, "one thing is wrong\n{text}\n{told:#?}");
        }
    }

    #[test]
    fn numbers_that_add_up_need_no_advice() {
        for text in [
            BACKEND.to_owned(),
            VENDOR.to_owned(),
            format!(
                "{BACKEND}breaker = {{ mode = \"shadow\", failures = 50, probes = 9, slow_rate = \"50%\" }}\n"
            ),
            format!("{VENDOR}breaker = {{ enabled = false, probes = 9 }}\n"),
            format!("{VENDOR}breaker = {{ failures = 0 }}\n"),
            format!("{BACKEND}retry = {{ idempotent = true }}\n{VENDOR}"),
            format!(
                "{BACKEND}timeouts = {{ per_try = \"10s\", total = \"20s\" }}\nretry = {{ attempts = 3 }}\n"
            ),
            format!("{BACKEND}health = {{ path = \"/healthz\" }}\n"),
            format!(
                "{BACKEND}retry = {{ idempotent = true }}\nidempotency = {{ header = \"Idempotency-Key\", inject = true }}\n\
                 [[routes]]\npath = \"/a\"\ninject_key = true\n"
            ),
            format!(
                "{BACKEND}idempotency = {{ header = \"Idempotency-Key\" }}\n[[routes]]\npath = \"/a\"\ninject_key = false\n"
            ),
            format!(
                "{BACKEND}[drill]\nmode = \"on\"\n[drill.schedule]\non = \"last friday\"\nat = \"10:00\"\nupstream = \"backend\"\n"
            ),
            ["stripe", "twilio", "google_calendar"].iter().fold("[egress]\n".to_owned(), |text, name| {
                format!("{text}[upstreams.{name}]\npreset = \"{name}\"\n")
            }),
        ] {
            assert_eq!(of_text(&text), [], "{text}");
        }
    }
}
