//! `[runbooks]`: where runbooks are read from, and how long their checks may take.

mod written;

use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use crate::reliability::runbook::Runbook;
use crate::runtime::files;
use crate::units::{Text, Written as _};
pub use written::runbook;

/// Files of a directory.
const FILES: usize = 64;
/// Bytes of a file. The guide's longest runbook takes two thousand.
const BYTES: u64 = 64 << 10;
/// Checks may take no longer and no shorter than this.
const WITHIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The table `[runbooks]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RunbooksFile {
    /// A directory whose files `*.yaml` and `*.yml` are a runbook each; absent: there are none.
    pub directory: Option<String>,
    /// How long checks that ask somebody may take, and so how much later the first call may go out. 100ms to 10s.
    pub within: Text<Duration>,
}

impl Default for RunbooksFile {
    fn default() -> Self {
        Self { directory: None, within: Text(Duration::from_secs(2)) }
    }
}

/// All runbooks.
#[derive(Clone, Debug)]
pub struct RunbooksConfig {
    /// Where they were read; `None`: there are none.
    pub directory: Option<PathBuf>,
    /// Sorted by the names of their files; names are unique.
    pub all: Vec<Arc<Runbook>>,
    /// How long checks that ask somebody may take.
    pub within: Duration,
    /// Of the names and texts of the files, 16 hex digits.
    pub hash: String,
}

impl RunbooksConfig {
    /// The runbook of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Runbook>> {
        self.all.iter().find(|one| &*one.name == name)
    }

    /// The hash of what lies there at this moment.
    pub(super) fn hash_now(&self) -> String {
        let texts = self.directory.as_deref().map(read).and_then(Result::ok);
        hash(&texts.unwrap_or_default())
    }
}

/// The name of a file, and its text or why there is none.
type FileText = (String, Result<String, String>);

impl RunbooksFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> RunbooksConfig {
        let within = self.within.0;
        if within < WITHIN.0 || within > WITHIN.1 {
            let (least, most) = (WITHIN.0.write(), WITHIN.1.write());
            at.add("within", format!("{} is not within {least} to {most}", within.write()));
        }
        let directory = self.directory.as_ref().map(PathBuf::from);
        let texts = match directory.as_deref().map(read) {
            None => Vec::new(),
            Some(Ok(texts)) => texts,
            Some(Err(error)) => {
                let shown = self.directory.as_deref().unwrap_or_default();
                at.add("directory", format!("{shown:?} cannot be read: {error}"));
                Vec::new()
            }
        };
        let all = directory.as_deref().map(|directory| runbooks(&texts, directory, &mut at));
        RunbooksConfig { directory, all: all.unwrap_or_default(), within, hash: hash(&texts) }
    }
}

fn runbooks(texts: &[FileText], directory: &Path, at: &mut Part<'_, '_>) -> Vec<Arc<Runbook>> {
    if texts.len() > FILES {
        at.add("directory", format!("{} files are more than {FILES}", texts.len()));
        return Vec::new();
    }
    let mut all: Vec<Arc<Runbook>> = Vec::new();
    for (name, text) in texts {
        let file = directory.join(name).display().to_string();
        let read = text.as_ref().map_err(|error| vec![format!("{file}: {error}")]);
        let read = read.and_then(|text| {
            let told = |(line, problem): (u64, String)| format!("{file}:{line}: {problem}");
            written::runbook(text).map_err(|all| all.into_iter().map(told).collect())
        });
        match read {
            Ok(one) if all.iter().any(|known| known.name == one.name) => {
                at.add(
                    "directory",
                    format!("{file}: a runbook is named {:?} already; write another name", one.name),
                );
            }
            Ok(one) => all.push(Arc::new(one)),
            Err(problems) => problems.into_iter().for_each(|problem| at.add("directory", problem)),
        }
    }
    all
}

/// By its name. What begins with a dot is how a ConfigMap keeps its versions.
pub(super) fn is_one(file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    !name.starts_with('.') && (name.ends_with(".yaml") || name.ends_with(".yml"))
}

/// The files of a directory, in the order of their names; a few more than there may be, at most.
fn read(directory: &Path) -> io::Result<Vec<FileText>> {
    files::patiently(directory, |directory| {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if is_one(Path::new(&name)) {
                names.push(name);
            }
            if names.len() > FILES {
                break;
            }
        }
        names.sort();
        Ok(names.into_iter().map(|name| (name.clone(), text(&directory.join(name)))).collect())
    })
}

fn text(file: &Path) -> Result<String, String> {
    let look = || -> io::Result<String> {
        let found = std::fs::metadata(file)?;
        if !found.is_file() {
            return Err(io::Error::other("is no file"));
        }
        if found.len() > BYTES {
            return Err(io::Error::other(format!("is longer than {} KiB", BYTES >> 10)));
        }
        std::fs::read_to_string(file)
    };
    look().map_err(|error| format!("cannot be read: {error}"))
}

fn hash(texts: &[FileText]) -> String {
    let mut hasher = std::collections::hash_map::DefaultHasher::new();
    texts.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;
    use crate::reliability::runbook::{RunbookStepKind, plan_of};

    fn of(directory: &Path, more: &str) -> Result<Arc<RunbooksConfig>, String> {
        let text = format!(
            "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n[runbooks]\ndirectory = {directory:?}\n{more}"
        );
        let read = load(&text, "a test", &[]);
        read.map(|config| config.runbooks).map_err(|problems| {
            problems.all.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n")
        })
    }

    const SMALL: &str = "name: small\ntitle: Small\nsteps:\n  - note: read this\n";

    #[test]
    fn a_directory_is_read_in_the_order_of_its_names_and_nothing_else_in_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let put = |name: &str, text: &str| std::fs::write(dir.path().join(name), text).expect("writes");
        put("b.yaml", SMALL);
        put("a.yml", &SMALL.replace("small", "first"));
        put("README.md", "no runbook");
        put(".hidden.yaml", "no runbook");
        let config = of(dir.path(), "within = \"500ms\"\n").expect("runs");
        let names: Vec<&str> = config.all.iter().map(|one| &*one.name).collect();
        assert_eq!((names, config.within), (vec!["first", "small"], Duration::from_millis(500)));
        assert_eq!(config.hash_now(), config.hash);
        put("c.yaml", &SMALL.replace("small", "third"));
        assert_ne!(config.hash_now(), config.hash, "a new one is seen");
        put("c.yaml", SMALL);
        assert!(of(dir.path(), "").expect_err("two of one name").contains("c.yaml: a runbook is named"));
    }

    #[test]
    fn what_is_too_many_too_long_or_not_there_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("long.yaml");
        std::fs::write(&file, format!("{SMALL}# {}", "x".repeat(BYTES as usize))).expect("writes");
        assert!(
            of(dir.path(), "")
                .expect_err("too long")
                .contains("long.yaml: cannot be read: is longer than 64 KiB")
        );
        std::fs::remove_file(file).expect("removes");
        for nth in 0..=FILES {
            std::fs::write(dir.path().join(format!("{nth}.yaml")), SMALL).expect("writes");
        }
        assert!(of(dir.path(), "").expect_err("too many").contains("65 files are more than 64"));
        assert!(of(Path::new("/nowhere/at/all"), "").expect_err("not there").contains("cannot be read"));
        let told = of(dir.path(), "within = \"11s\"\n").expect_err("too long");
        assert!(told.contains("11s is not within 100ms to 10s"), "{told}");
    }

    /// The name of a part, and its lines.
    type GuidePart = (&'static str, &'static [&'static str]);

    /// The guide, "Runbooks", line by line.
    const GUIDE: [(&str, &[GuidePart]); 3] = [
        (
            "Database Connection Failure",
            &[
                (
                    "Immediate Actions",
                    &["Check database connectivity", "Verify connection pool status", "Review database logs"],
                ),
                (
                    "Recovery Steps",
                    &["Reset connection pool", "Restart database service if needed", "Verify data integrity"],
                ),
                (
                    "Prevention",
                    &[
                        "Monitor connection pool metrics",
                        "Implement connection timeouts",
                        "Regular database maintenance",
                    ],
                ),
            ],
        ),
        (
            "High Error Rate",
            &[
                ("Detection", &["Error rate >0.1% for >2 minutes", "Multiple 5xx responses"]),
                (
                    "Investigation",
                    &["Check application logs", "Review recent deployments", "Analyze error patterns"],
                ),
                (
                    "Mitigation",
                    &[
                        "Rollback if deployment-related",
                        "Scale up resources if capacity issue",
                        "Enable circuit breakers",
                    ],
                ),
            ],
        ),
        (
            "Payment System Failure",
            &[
                (
                    "Immediate Response",
                    &[
                        "Enable graceful degradation",
                        "Notify customer support",
                        "Switch to backup payment processor",
                    ],
                ),
                (
                    "Investigation",
                    &["Check Stripe status", "Review webhook deliveries", "Verify API credentials"],
                ),
                (
                    "Recovery",
                    &["Resume payment processing", "Process queued payments", "Verify transaction integrity"],
                ),
            ],
        ),
    ];

    #[test]
    fn the_shipped_runbooks_are_the_guides_three_and_their_plans_are_those_of_the_shipped_config() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(root.join("config/bookedbarber.toml")).expect("reads");
        let text = format!("{text}\n[runbooks]\ndirectory = {:?}\n", root.join("deploy/runbooks"));
        let config = load(&text, "a test", &[]).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(config.runbooks.all.len(), GUIDE.len());
        for (title, parts) in GUIDE {
            let one = config.runbooks.all.iter().find(|one| one.title == title).expect(title);
            for (part, lines) in parts {
                let said: Vec<&str> =
                    one.steps.iter().filter(|step| step.part == *part).map(|step| &*step.text).collect();
                let in_order = said.iter().filter(|said| lines.contains(said));
                assert_eq!(in_order.collect::<Vec<_>>(), lines.iter().collect::<Vec<_>>(), "{title}: {part}");
            }
            let plans = one.steps.iter().filter_map(|step| match &step.kind {
                RunbookStepKind::Auto { action, plan: Some(plan) } => Some((*action, plan)),
                RunbookStepKind::Auto { plan: None, .. }
                | RunbookStepKind::Check(_)
                | RunbookStepKind::Ask
                | RunbookStepKind::Note => None,
            });
            for (action, plan) in plans {
                assert!(plan_of(&config.recovery.policy, action, Some(plan)).is_some(), "{title}: {plan}");
            }
        }
    }
}
