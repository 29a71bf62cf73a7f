use crate::config::warnings::all as warnings;
use crate::config::{Config, Until};
use crate::reliability::detect::{DetectPolicy, PercentileLimits};
use crate::reliability::engine::EnginePolicy;
use crate::reliability::escalation::{Calendar, EscalationPolicy};
use crate::reliability::rule::{Rule, Severity};

const SMALLEST: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";
const CHANNELS: &str = "[notify.pager]\nkind = \"alertmanager\"\nurls = [\"http://am:9093\"]\n\
                        [notify.default]\nkind = \"alertmanager\"\nurls = [\"http://am:9094\"]\n";

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
    let config = load(&format!(
        "{CHANNELS}[escalation]\nstakeholders = []\n[escalation.contacts.ann]\nchannels = [\"pager\"]\n\
         [escalation.high]\nsteps = [{{ after = \"1m\", contacts = [\"ann\", \"cto\"] }}]\nhours = \"working\"\n\
         [escalation.hours]\ntime_zone = \"Europe/Berlin\"\nopen = [\"mon-fri 08:00-18:00\"]\n"
    ));
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
    let config = load(
        "[latency]\np99 = { alert = \"9s\" }\n\
         [[routes]]\nname = \"search\"\nprefix = \"/search\"\nlatency = { p50 = { warn = \"90ms\", alert = \"170ms\" } }\n\
         [[routes]]\nname = \"events\"\nprefix = \"/events\"\nlatency = { until = \"off\" }\n\
         [[routes]]\nname = \"uploads\"\nprefix = \"/uploads\"\nlatency = { until = \"first_byte\" }\n",
    );
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
        refused(
            "[latency]\np50 = { warn = \"2s\" }\np95 = { alert = \"1h\" }\n\
             [slo]\nsuccess = \"0%\"\n\
             [incidents]\noff = [\"latncy\", \"manual\"]\nimportant = [\"bakend\", \"stripe\"]\nsuspicions_from = \"grave\"\n\
             grace = \"2h\"\nclear_after = \"0s\"\ngone_after = \"1s\"\nkeep = \"1s\"\nreopen_within = \"90d\"\n\
             [incidents.down]\nfailures = 0\nprobes = 0\nconfirm = \"2h\"\n\
             [incidents.errors]\nleast_bad = 0\nsuspect_odds = 5\npage_odds = 4\n\
             [incidents.network]\nupstreams = 1\nwithin = \"0s\"\n\
             [incidents.payments]\nfailures = \"0%\"\ndeclines_factor = 0.5\nusual_from = 0\n\
             [incidents.resources]\ncpu = { warn = \"96%\", critical = \"95%\" }\ndisk = { warn = \"5%\", critical = \"95%\" }\nnetwork_capacity = \"0B\"\nsamples = 0\nstale = \"1s\"\n\
             [[routes]]\nname = \"a\"\nprefix = \"/a\"\nlatency = { until = \"of\" }\n\
             [[routes]]\nname = \"b\"\nprefix = \"/b\"\nlatency = { until = \"off\", p50 = { warn = \"1s\" } }\n\
             [process]\nname = \"two words\"\n"
        )
        .join("\n")
    );
    assert!(refused("[slo]\nuptime = \"99.99999%\"\n")[0].contains("below 100"), "cannot be kept exactly");
    assert!(refused("[escalation.hours]\nopen = []\n")[0].contains("nobody ever works"));
    insta::assert_snapshot!(
        "escalation_refused",
        refused(&format!(
            "{CHANNELS}[escalation]\nfallback = [\"pagr\"]\nstakeholders = [\"everybody\"]\n\
             [escalation.contacts.ann]\nchannels = [\"pager\", \"mail\"]\n[escalation.contacts.Bob]\nchannels = []\n\
             [escalation.hours]\ntime_zone = \"Europe/Brelin\"\nopen = [\"weekdays 9-17\"]\nholidays = [\"25.12.\"]\n\
             [escalation.critical]\nsteps = [{{ contacts = [\"anne\"] }}, {{ after = \"5m\" }}, {{ after = \"1m\", contacts = [\"cto\"] }}]\nhours = \"office\"\n\
             [escalation.low]\nhours = \"working\"\nagain_at_most = 5000\nagain_every = \"30d\"\n"
        ))
        .join("\n")
    );
}

#[test]
fn what_the_engine_decides_by_is_shown_as_it_is_written() {
    let config = load(&format!(
        "{CHANNELS}[incidents]\noff = [\"decline_rate\"]\n[slo]\nuptime = \"99.995%\"\n\
         [escalation.contacts.ann]\nchannels = [\"pager\"]\n[escalation.low]\nhours = \"working\"\n\
         [escalation.hours]\nopen = [\"sun-mon 22:00-06:00\"]\nholidays = [\"12-25\", \"2026-04-03\"]\n\
         [[routes]]\nname = \"events\"\nprefix = \"/events\"\nlatency = {{ until = \"off\" }}\n"
    ));
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
        load(&format!(
            "{CHANNELS}[incidents.down]\nfailures = 5\n[slo]\nsuccess = \"99.5%\"\n[process]\nname = \"shop-1\"\n\
             [escalation.critical]\nagain_every = \"1m\"\n[escalation.hours]\ntime_zone = \"Asia/Tokyo\"\n[latency.p50]\nwarn = \"1s\"\n"
        )),
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
    let told = warnings(&load(&format!(
        "{CHANNELS}[escalation]\nfallback = []\n[escalation.contacts.cto]\nchannels = [\"pager\"]\n\
         [escalation.medium]\nsteps = []\n[escalation.critical]\nhours = \"working\"\n"
    )));
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

const THREE: &str = "[notify.chat]\nkind = \"email\"\nserver = \"localhost:25\"\ntls = \"none\"\nfrom = \"a@b.c\"\nto = [\"d@e.f\"]\n\
                     [notify.default]\nkind = \"email\"\nserver = \"localhost:25\"\ntls = \"none\"\nfrom = \"a@b.c\"\nto = [\"d@e.f\"]\n\
                     [notify.zzz]\nkind = \"alertmanager\"\nurls = [\"http://am:9093\"]\n";

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
    let all = "[escalation.contacts.cto]\nchannels = [\"chat\"]\n[escalation.contacts.engineering_lead]\nchannels = [\"chat\"]\n\
               [escalation.contacts.engineering_manager]\nchannels = [\"chat\"]\n\
               [escalation.contacts.assigned_engineer]\nchannels = [\"chat\"]\n";
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
