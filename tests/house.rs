//! Guards on the source: who may know whom, what the core may touch, how long a file may get.
//!
//! One crate gives no help of the compiler against `use crate::proxy` from `reliability`, so this reads the source.

#[path = "house/circles.rs"]
mod circles;
#[path = "house/habits.rs"]
mod habits;
#[path = "house/source.rs"]
mod source;
#[path = "house/unused.rs"]
mod unused;

use std::path::Path;

use source::{files, sources};

/// Who may name whom, besides itself. Changing this table is an architecture decision; say why in the commit.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("units", &[]),
    ("names", &[]),
    ("reliability", &["names", "units"]),
    ("runtime", &[]),
    // An account keeps the core's pace of its client.
    ("message", &["reliability"]),
    ("config", &["message", "names", "reliability", "runtime", "units"]),
    ("net", &["config", "runtime"]),
    ("telemetry", &["config", "message", "names", "net", "reliability", "runtime"]),
    ("notify", &["config", "names", "net", "reliability", "runtime", "telemetry", "units"]),
    ("upstream", &["config", "message", "names", "net", "reliability", "runtime", "telemetry", "units"]),
    // What is given instead of an upstream's answer: proxy → degrade → upstream.
    (
        "degrade",
        &["config", "message", "names", "reliability", "runtime", "store", "telemetry", "units", "upstream"],
    ),
    // Where a refusal becomes an answer, something may stand in.
    (
        "proxy",
        &[
            "config",
            "degrade",
            "message",
            "names",
            "net",
            "reliability",
            "runtime",
            "telemetry",
            // Whoever explains a request writes durations as the file does.
            "units",
            "upstream",
        ],
    ),
    // It measures and knows no upstream; what it measures are the core's readings.
    ("insight", &["reliability", "units"]),
    ("store", &["config", "names", "reliability", "runtime", "telemetry", "units"]),
    // Documents are made of stored values: of rows and of what the core reads in them, of nothing that runs;
    // `runtime` has the time zones.
    ("report", &["config", "reliability", "runtime", "store", "units"]),
    (
        "control",
        &[
            "config",
            // Whose level an order raises.
            "degrade",
            "insight",
            "names",
            // Actions speak HTTP over its one-shot client.
            "net",
            "notify",
            "reliability",
            "runtime",
            "store",
            "telemetry",
            "units",
            "upstream",
        ],
    ),
    (
        "admin",
        &[
            "config",
            "control",
            "message",
            "names",
            "net",
            "reliability",
            "report",
            "runtime",
            "store",
            "telemetry",
            "units",
            "upstream",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "config",
            "control",
            // The kept answers that all workers share.
            "degrade",
            "names",
            "net",
            "notify",
            "proxy",
            // When a certificate is to be renewed.
            "reliability",
            "runtime",
            "store",
            "telemetry",
            "upstream",
            // A room to come; see below.
            "wire",
        ],
    ),
    // Rooms to come. Other protocols beside HTTP: a sibling of proxy.
    ("wire", &["config", "message", "names", "net", "reliability", "runtime", "telemetry", "upstream"]),
    // Rule groups over gathered families; it speaks through what the core calls readings.
    ("rules", &["config", "names", "reliability", "runtime", "telemetry", "units"]),
    ("trace", &["config", "message", "names", "net", "reliability", "runtime", "telemetry", "units"]),
    // Static files, which admin serves.
    ("ui", &[]),
    ("cli", &["app", "config", "names", "notify", "report", "runtime", "store", "telemetry", "units"]),
];

/// The core is a function of its arguments.
const NOT_IN_THE_CORE: &[&str] = &[
    "tokio",
    "hyper",
    "prometheus",
    "tracing::",
    "::now()",
    "SystemTime",
    "Mutex",
    "RwLock",
    "Atomic",
    "async ",
    ".await",
    "rand::",
    "std::fs",
    "std::env",
    "std::thread",
];

/// One door per dependency: the files that may name it.
const DOORS: &[(&str, &[&str])] = &[
    ("Instant::now", &["src/runtime/clock.rs"]),
    ("SystemTime::now", &["src/runtime/clock.rs"]),
    ("tokio::spawn", &["src/runtime/tasks.rs"]),
    ("spawn_local(", &["src/runtime/tasks.rs", "src/app/work.rs", "src/upstream/pool.rs"]),
    ("rustls::", &["src/net/tls.rs"]),
    ("x509_parser::", &["src/net/validity.rs"]),
    ("hdrhistogram::", &["src/telemetry/latency.rs"]),
    (
        "prometheus::",
        &[
            "src/telemetry/exposer.rs",
            "src/telemetry/family.rs",
            "src/telemetry/metrics.rs",
            "src/telemetry/openmetrics.rs",
            "src/telemetry/prefix.rs",
        ],
    ),
    ("dashmap::", &["src/upstream/unlisted.rs"]),
    (
        "arc_swap::",
        &[
            "src/net/tls.rs",
            "src/telemetry/access.rs",
            "src/telemetry/tap.rs",
            "src/upstream/mod.rs",
            "src/upstream/registry.rs",
            "src/upstream/resolve.rs",
        ],
    ),
    ("redis::", &["src/control/actions/unlink.rs"]),
    (
        "sqlx::",
        &[
            "src/store/db.rs",
            "src/store/connect.rs",
            "src/store/owner.rs",
            "src/store/session.rs",
            "src/store/statement.rs",
        ],
    ),
    ("flate2::", &["src/proxy/look.rs", "src/store/ledger/day.rs"]),
    ("hickory_resolver::", &["src/net/names/mod.rs"]),
    ("lettre::", &["src/notify/email.rs", "src/notify/smtp.rs"]),
    (
        "aws_lc_rs::",
        &[
            "src/degrade/outbox/record.rs",
            "src/message/websocket.rs",
            "src/net/tls.rs",
            "src/net/sign.rs",
            "src/store/audit.rs",
            "src/store/digest.rs",
        ],
    ),
    ("hyper::client::", &["src/net/http.rs"]),
    ("serde_saphyr::", &["src/config/runbooks/written.rs"]),
    ("httparse::", &["src/message/h1/parse.rs"]),
    ("notify::", &["src/config/watch.rs"]),
    ("annotate_snippets::", &["src/config/problem.rs"]),
    ("clap::", &["src/cli/"]),
    ("clap_complete::", &["src/cli/generated.rs"]),
    ("clap_mangen::", &["src/cli/generated.rs"]),
    ("ratatui::", &["src/cli/live/top/terminal.rs"]),
    ("info!(", &["src/telemetry/event.rs", "src/telemetry/event/"]),
    ("warn!(", &["src/telemetry/event.rs", "src/telemetry/event/"]),
    ("error!(", &["src/telemetry/event.rs"]),
    ("std::process::exit", &[]),
    // Chance comes as a seed (`proxy/worker.rs`) or as a drawn number; an identifier is none.
    ("as_u64_pair", &[]),
    ("rand::", &["src/runtime/chance.rs"]),
    (
        "uuid::",
        &["src/control/start.rs", "src/message/fields.rs", "src/notify/mod.rs", "src/store/writer.rs"],
    ),
    ("jiff::", &["src/report/calendar.rs", "src/runtime/clock.rs", "src/runtime/zone.rs"]),
    ("axum::", &["src/admin/"]),
];

const LINES: usize = 400;
const FUNCTION_LINES: usize = 50;

/// Longer files, each with its reason.
const LONG_FILES: &[(&str, &str)] = &[];

/// Longer functions, each with its reason.
const LONG_FUNCTIONS: &[(&str, &str)] = &[];

fn module_of(path: &str) -> &str {
    path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default()
}

#[test]
fn modules_name_only_what_is_below_them() {
    let mut wrong = Vec::new();
    for source in sources() {
        let module = module_of(&source.path);
        if matches!(module, "main" | "lib") {
            continue;
        }
        let may = MAY_NAME.iter().find(|(name, _)| *name == module).map(|(_, may)| *may);
        let may = may.unwrap_or_else(|| panic!("{module} has no row in MAY_NAME"));
        for (line, text) in &source.code {
            for part in text.split("crate::").skip(1) {
                let named: String =
                    part.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
                if named != module && !may.contains(&named.as_str()) {
                    wrong.push(format!("{}:{line} names crate::{named}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "house rule \"who may know whom\" (MAY_NAME):\n{}", wrong.join("\n"));
}

#[test]
fn the_core_is_pure() {
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| module_of(&source.path) == "reliability") {
        for (line, text) in &source.code {
            for banned in NOT_IN_THE_CORE.iter().filter(|banned| text.contains(*banned)) {
                wrong.push(format!("{}:{line} has {banned:?}", source.path));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "house rule \"the core is a function of its arguments\":\n{}",
        wrong.join("\n")
    );
}

#[test]
fn each_dependency_has_its_door() {
    let mut wrong = Vec::new();
    for source in sources() {
        for (line, text) in &source.code {
            for (named, doors) in DOORS.iter().filter(|(named, _)| names(text, named)) {
                if !doors.iter().any(|door| is_behind(&source.path, door)) {
                    wrong.push(format!("{}:{line} names {named:?}", source.path));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "house rule \"one door per dependency\" (DOORS):\n{}", wrong.join("\n"));
}

/// A door is a file, or a whole folder when it ends with `/`.
fn is_behind(path: &str, door: &str) -> bool {
    if door.ends_with('/') { path.starts_with(door) } else { path == door }
}

/// Does `text` name it as a word of its own (`tokio_rustls::` is not `rustls::`), and is it the crate that is meant
/// (`crate::notify::` is a module of ours, `::notify::` and `notify::` are the crate)?
fn names(text: &str, wanted: &str) -> bool {
    text.match_indices(wanted).any(|(at, _)| {
        let before = &text[..at];
        let ours = ["crate::", "self::", "super::"].iter().any(|root| before.ends_with(root));
        !ours && !before.chars().next_back().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

#[test]
fn files_stay_readable() {
    let long: Vec<_> = sources()
        .iter()
        .filter(|source| source.lines > LINES && !LONG_FILES.iter().any(|(path, _)| *path == source.path))
        .map(|source| format!("{}: {} lines", source.path, source.lines))
        .collect();
    assert!(long.is_empty(), "house rule \"at most {LINES} lines before the tests\":\n{}", long.join("\n"));
}

#[test]
fn functions_stay_readable() {
    let mut long = Vec::new();
    for source in sources() {
        let mut open: Option<(usize, String, usize)> = None;
        for (line, text) in &source.code {
            let indent = text.len() - text.trim_start().len();
            match &open {
                Some((from, name, depth)) if *depth == indent && text.trim_start().starts_with('}') => {
                    if line - from >= FUNCTION_LINES && !LONG_FUNCTIONS.iter().any(|(known, _)| known == name)
                    {
                        long.push(format!("{}:{from} {name}: {} lines", source.path, line - from + 1));
                    }
                    open = None;
                }
                None if is_function(text) => {
                    let name = text.trim_start().split('(').next().unwrap_or_default().to_owned();
                    open = Some((*line, name, indent));
                }
                Some(_) | None => {}
            }
        }
    }
    assert!(
        long.is_empty(),
        "house rule \"functions of at most {FUNCTION_LINES} lines\":\n{}",
        long.join("\n")
    );
}

fn is_function(text: &str) -> bool {
    let text = text.trim_start();
    let text = text.strip_prefix("pub(super) ").or_else(|| text.strip_prefix("pub(crate) ")).unwrap_or(text);
    let text = text.strip_prefix("pub ").unwrap_or(text);
    let text = text.strip_prefix("const ").unwrap_or(text);
    let text = text.strip_prefix("async ").unwrap_or(text);
    text.starts_with("fn ") && !text.ends_with(';') && !text.ends_with('}')
}

/// A black-box test knows what an operator knows; what needs a part of the library stands in `tests/parts`.
#[test]
fn tests_from_outside_do_not_link_the_library() {
    let mut found = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it"), &mut found);
    let links = |path: &std::path::PathBuf| std::fs::read_to_string(path).expect("reads").contains("strop::");
    let wrong: Vec<_> = found.iter().filter(|path| links(path)).collect();
    assert!(wrong.is_empty(), "house rule \"tests/it is outside\": move to tests/parts: {wrong:?}");
}

/// Black-box tests wait for what is to happen, not for a while.
#[test]
fn tests_do_not_sleep() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for ring in ["tests/it", "tests/parts"] {
        files(&root.join(ring), &mut found);
    }
    let mut wrong = Vec::new();
    for path in found.iter().filter(|path| !path.components().any(|part| part.as_os_str() == "support")) {
        let text = std::fs::read_to_string(path).expect("reads");
        for (at, line) in text.lines().enumerate() {
            if line.contains("sleep(") && !line.contains("// the upstream's own slowness") {
                wrong.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "house rule \"no sleep in tests\": wait with `eventually`\n{}",
        wrong.join("\n")
    );
}
