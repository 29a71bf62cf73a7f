use crate::config::tests::config_text;
use crate::config::warnings::all as warnings;
use crate::config::{Config, Until};
use crate::reliability::detect::{DetectPolicy, PercentileLimits};
use crate::reliability::engine::EnginePolicy;
use crate::reliability::escalation::{Calendar, EscalationPolicy};
use crate::reliability::rule::{Rule, Severity};

const SMALLEST: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";
const CHANNELS: &str = r#"[notify.pager]
kind = "alertmanager"
urls = ["http://am:9093"]
[notify.default]
kind = "alertmanager"
urls = ["http://am:9094"]
"#;

fn load(more: &str) -> Config {
    crate::config::load(&format!("{SMALLEST}{more}"), "a test", &[])
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// Path and message of each problem, in the order of the file.
fn refused(more: &str) -> Vec<String> {
    let problems = crate::config::load(&format!("{SMALLEST}{more}"), "a test", &[]).expect_err("cannot run");
    problems.all.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect()
}

fn paths(changes: &[crate::config::diff::ConfigChange]) -> Vec<&str> {
    changes.iter().map(|change| change.path.as_str()).collect()
}

#[test]
fn without_a_word_everything_is_the_guides() {
    let watch = load("").watch;
    assert_eq!(watch.policy.detect, DetectPolicy::default());
    let guide = EscalationPolicy { fallback: Vec::new(), ..EscalationPolicy::default() };
    let mut held = watch.policy.escalation.clone();
    held.contacts.sort_by_key(|contact| guide.contacts.iter().position(|one| one.name == contact.name));
    assert_eq!(held, guide);
    let others = EnginePolicy {
        detect: watch.policy.detect.clone(),
        escalation: watch.policy.escalation.clone(),
        ..EnginePolicy::default()
    };
    assert_eq!(*watch.policy, others);
    assert_eq!((watch.slo.uptime.percent(), watch.slo.success.percent()), (99.99, 99.9));
    assert_eq!(watch.people.zone.name(), "UTC");
}

#[test]
fn what_is_not_written_of_a_ladder_stays_the_guides() {
    let config = load(&config_text(&format!(
        r#"
            {CHANNELS}[escalation]
            stakeholders = []
            [escalation.contacts.ann]
            channels = ["pager"]
            [escalation.high]
            steps = [{{ after = "1m", contacts = ["ann", "cto"] }}]
            hours = "working"
            [escalation.hours]
            time_zone = "Europe/Berlin"
            open = ["mon-fri 08:00-18:00"]
        "#
    )));
    let policy = &config.watch.policy.escalation;
    let high = policy.ladder(Severity::High);
    assert_eq!((high.again_every.as_secs(), high.again_at_most), (15 * 60, 12));
    assert_eq!(high.hours, Some(Calendar::weekdays(8, 18)));
    assert_eq!(policy.ways("ann").collect::<Vec<_>>(), ["pager", "default"]);
    assert_eq!(policy.first_ways("ann").collect::<Vec<_>>(), ["pager"]);
    let all = ["default", "pager"];
    assert_eq!(
        policy.first_ways("cto").collect::<Vec<_>>(),
        all,
        "whoever has none has all of the fallback at once"
    );
    assert_eq!(policy.ladder(Severity::Low), EscalationPolicy::default().ladder(Severity::Low));
    assert_eq!(config.watch.people.zone.name(), "Europe/Berlin");
    assert!(policy.stakeholders.is_empty());
}

#[test]
fn a_route_has_its_own_budget_or_none() {
    let config = load(&config_text(
        r#"
            [latency]
            p99 = { alert = "9s" }
            [[routes]]
            name = "search"
            prefix = "/search"
            latency = { p50 = { warn = "90ms", alert = "170ms" } }
            [[routes]]
            name = "events"
            prefix = "/events"
            latency = { until = "off" }
            [[routes]]
            name = "uploads"
            prefix = "/uploads"
            latency = { until = "first_byte" }
        "#,
    ));
    let latency = &config.watch.policy.detect.latency;
    let millis = |limits: PercentileLimits| (limits.warn.as_millis(), limits.alert.as_millis());
    let search = latency.of("search").expect("measured");
    assert_eq!((millis(search.p50), millis(search.p99)), ((90, 170), (5_000, 9_000)));
    assert_eq!(latency.of("events"), None);
    for common in ["uploads", "default", "stripe"] {
        assert_eq!(latency.of(common), Some(&config.latency.budget), "{common}");
    }
    let route = |name: &str| config.routes.iter().find(|route| route.name.as_str() == name).expect("there");
    assert_eq!(route("uploads").latency.expect("measured").until, Until::FirstByte);
    assert_eq!(route("default").latency.expect("measured").until, Until::LastByte);
    assert_eq!(route("events").latency, None);
}

#[test]
fn what_is_wrong_is_told_with_what_to_write() {
    insta::assert_snapshot!(
        "incidents_refused",
        refused(&config_text(
            r#"
                [latency]
                p50 = { warn = "2s" }
                p95 = { alert = "1h" }
                [slo]
                success = "0%"
                [incidents]
                off = ["latncy", "manual"]
                important = ["bakend", "stripe"]
                suspicions_from = "grave"
                grace = "2h"
                clear_after = "0s"
                gone_after = "1s"
                keep = "1s"
                reopen_within = "90d"
                [incidents.down]
                failures = 0
                probes = 0
                confirm = "2h"
                [incidents.errors]
                least_bad = 0
                suspect_odds = 5
                page_odds = 4
                [incidents.network]
                upstreams = 1
                within = "0s"
                [incidents.payments]
                failures = "0%"
                declines_factor = 0.5
                usual_from = 0
                [incidents.resources]
                cpu = { warn = "96%", critical = "95%" }
                disk = { warn = "5%", critical = "95%" }
                network_capacity = "0B"
                samples = 0
                stale = "1s"
                [[routes]]
                name = "a"
                prefix = "/a"
                latency = { until = "of" }
                [[routes]]
                name = "b"
                prefix = "/b"
                latency = { until = "off", p50 = { warn = "1s" } }
                [process]
                name = "two words"
            "#
        ))
        .join("\n")
    );
    assert!(refused("[slo]\nuptime = \"99.99999%\"\n")[0].contains("below 100"), "cannot be kept exactly");
    assert!(refused("[escalation.hours]\nopen = []\n")[0].contains("nobody ever works"));
    insta::assert_snapshot!(
        "escalation_refused",
        refused(&config_text(&format!(
            r#"
                {CHANNELS}[escalation]
                fallback = ["pagr"]
                stakeholders = ["everybody"]
                [escalation.contacts.ann]
                channels = ["pager", "mail"]
                [escalation.contacts.Bob]
                channels = []
                [escalation.hours]
                time_zone = "Europe/Brelin"
                open = ["weekdays 9-17"]
                holidays = ["25.12."]
                [escalation.critical]
                steps = [{{ contacts = ["anne"] }}, {{ after = "5m" }}, {{ after = "1m", contacts = ["cto"] }}]
                hours = "office"
                [escalation.low]
                hours = "working"
                again_at_most = 5000
                again_every = "30d"
            "#
        )))
        .join("\n")
    );
}

#[test]
fn what_the_engine_decides_by_is_shown_as_it_is_written() {
    let config = load(&config_text(&format!(
        r#"
            {CHANNELS}[incidents]
            off = ["decline_rate"]
            [slo]
            uptime = "99.995%"
            [escalation.contacts.ann]
            channels = ["pager"]
            [escalation.low]
            hours = "working"
            [escalation.hours]
            open = ["sun-mon 22:00-06:00"]
            holidays = ["12-25", "2026-04-03"]
            [[routes]]
            name = "events"
            prefix = "/events"
            latency = {{ until = "off" }}
        "#
    )));
    let shown = config.effective();
    let of = |table: &str| (table.to_owned(), shown[table].clone());
    let routes = shown["routes"][0]["latency"].clone();
    let shown: serde_json::Map<_, _> =
        [of("latency"), of("slo"), of("incidents"), of("escalation"), ("routes".to_owned(), routes)]
            .into_iter()
            .collect();
    insta::assert_snapshot!("engine_shown", serde_json::to_string_pretty(&shown).expect("JSON"));
}

#[test]
fn all_of_it_is_in_force_at_once_but_for_the_name() {
    let (old, new) = (
        load(CHANNELS),
        load(&config_text(&format!(
            r#"
                {CHANNELS}[incidents.down]
                failures = 5
                [slo]
                success = "99.5%"
                [process]
                name = "shop-1"
                [escalation.critical]
                again_every = "1m"
                [escalation.hours]
                time_zone = "Asia/Tokyo"
                [latency.p50]
                warn = "1s"
            "#
        ))),
    );
    let diff = crate::config::diff::diff(&old, &new);
    assert_eq!(
        paths(&diff.applied),
        [
            "escalation.critical.again_every",
            "escalation.hours.time_zone",
            "incidents.down.failures",
            "latency.p50.warn",
            "slo.success"
        ]
    );
    assert_eq!(paths(&diff.needs_restart), ["process.name"]);
    let running = crate::config::diff::runnable(&old, new, &diff.needs_restart).expect("runs");
    assert_eq!(running.process.name, old.process.name);
    assert_eq!(running.watch.policy.detect.down.failures, 5);
    assert!((running.watch.policy.detect.errors.objective.target - 0.995).abs() < 1e-9);
}

#[test]
fn a_ladder_that_reaches_nobody_is_told() {
    assert!(warnings(&load(""))[0].contains("nobody is called"), "{:?}", warnings(&load("")));
    assert_eq!(warnings(&load(CHANNELS)), Vec::<String>::new());
    let told = warnings(&load(&config_text(&format!(
        r#"
            {CHANNELS}[escalation]
            fallback = []
            [escalation.contacts.cto]
            channels = ["pager"]
            [escalation.medium]
            steps = []
            [escalation.critical]
            hours = "working"
        "#
    ))));
    let wanted = [
        "low reaches",
        "medium reaches",
        "high reaches",
        "critical waits",
        "assigned_engineer is never reached",
        "engineering_manager is never reached",
        "engineering_lead is never reached",
        "stakeholders is never reached",
        "ever told through notify.default",
    ];
    assert_eq!(told.len(), wanted.len(), "{told:#?}");
    for (told, wanted) in told.iter().zip(wanted) {
        assert!(told.contains(wanted), "{wanted}: {told}");
    }
}

const THREE: &str = r#"[notify.chat]
kind = "email"
server = "localhost:25"
tls = "none"
from = "a@b.c"
to = ["d@e.f"]
[notify.default]
kind = "email"
server = "localhost:25"
tls = "none"
from = "a@b.c"
to = ["d@e.f"]
[notify.zzz]
kind = "alertmanager"
urls = ["http://am:9093"]
"#;

#[test]
fn without_a_word_a_call_goes_through_all_channels_and_the_fallback_begins_with_pagers() {
    let policy = load(THREE).watch.policy.escalation.clone();
    assert_eq!(policy.fallback, ["zzz", "default", "chat"]);
    assert_eq!(policy.first_ways("cto").collect::<Vec<_>>(), ["zzz", "default", "chat"]);
    assert_eq!(policy.pagers, ["zzz"]);
    assert_eq!(warnings(&load(THREE)), Vec::<String>::new(), "an ordinary config is not nagged about");
}

#[test]
fn channels_that_nobody_is_told_through_and_contacts_without_one_are_named() {
    let all = &config_text(
        r#"
            [escalation.contacts.cto]
            channels = ["chat"]
            [escalation.contacts.engineering_lead]
            channels = ["chat"]
            [escalation.contacts.engineering_manager]
            channels = ["chat"]
            [escalation.contacts.assigned_engineer]
            channels = ["chat"]
        "#,
    );
    let team = "[escalation.contacts.team_lead]\nchannels = [\"chat\"]\n";
    let told = |more: &str| warnings(&load(&format!("{THREE}{more}")));
    let spare = told(&format!("[escalation]\nfallback = [\"zzz\"]\n{all}"));
    let [lead, stakeholders, default] = &spare[..] else { panic!("{spare:#?}") };
    assert!(
        lead.contains("contacts.team_lead has no channel of its own and is reached through zzz"),
        "{lead}"
    );
    assert!(stakeholders.contains("contacts.stakeholders has no channel of its own"), "{stakeholders}");
    assert!(default.contains("nobody is ever told through notify.default"), "{default}");
    let hears = "[escalation.contacts.stakeholders]\nchannels = [\"zzz\"]\n";
    let unwritten = told(&format!("{all}{team}{hears}"));
    let [pager, default, zzz] = &unwritten[..] else { panic!("{unwritten:#?}") };
    assert!(pager.contains("contacts.stakeholders is a stakeholder with zzz alone, a pager"), "{pager}");
    let only_then = "but where another channel fails";
    assert!(default.contains("notify.default") && default.contains(only_then), "{default}");
    assert!(zzz.contains("notify.zzz") && zzz.contains(only_then), "{zzz}");
    let hears = hears.replace("zzz", "default");
    let meant = format!("[escalation]\nfallback = [\"zzz\"]\n{all}{team}{hears}");
    assert_eq!(told(&meant), Vec::<String>::new(), "a fallback that was written is meant");
}

#[test]
fn a_rule_that_is_off_does_not_run() {
    let detect = &load("[incidents]\noff = [\"latency\", \"breaker\"]\n").watch.policy.detect;
    assert!(!detect.runs(Rule::Latency) && !detect.runs(Rule::Breaker) && detect.runs(Rule::ErrorRate));
}
