use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use strop::reliability::drill::{DETECT_WITHIN, DrillPolicy, Fault, LATE, RECOVER_WITHIN};
use strop::units::Percent;

/// The README's part about drills.
fn readme() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let all = std::fs::read_to_string(path).expect("reads");
    let from = all.find("**Drills.**").expect("it is there");
    let until = all[from..].find("**Too many requests**").expect("what follows it");
    all[from..from + until].to_owned()
}

/// The text of its block in that language.
fn block<'a>(readme: &'a str, language: &str) -> &'a str {
    let (_, rest) = readme.split_once(&format!("```{language}\n")).expect("a block");
    rest.split_once("```").expect("it ends").0
}

/// An admin port that says the same to each request and writes down what it was asked.
struct Port {
    address: String,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Port {
    fn saying(answer: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let seen = Arc::clone(&asked);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(stream.try_clone().expect("a handle"));
                let (mut first, mut length) = (String::new(), 0);
                reader.read_line(&mut first).expect("reads");
                for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty())
                {
                    if let Some(said) = line.strip_prefix("Content-Length: ") {
                        length = said.parse().expect("a number");
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).expect("reads");
                let what = first.rsplit_once(' ').expect("a request line").0.to_owned();
                seen.lock().expect("not poisoned").push((what, String::from_utf8(body).expect("text")));
                let told = answer.to_string();
                let head =
                    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", told.len());
                stream.write_all((head + &told).as_bytes()).expect("writes");
            }
        });
        Self { address, asked }
    }

    /// Runs a command as it is written, with this port.
    fn run(&self, line: &str, dir: &Path) -> Output {
        let mut words = Vec::new();
        for (nth, part) in line.split('"').enumerate() {
            // What stands between quotes is one word.
            match nth % 2 {
                0 => words.extend(part.split_whitespace().map(str::to_owned)),
                _ => words.push(part.to_owned()),
            }
        }
        let mut command = Command::new(env!("CARGO_BIN_EXE_strop"));
        command.args(&words[1..]).args(["--admin", &self.address]).current_dir(dir);
        command.output().expect("runs")
    }

    fn last(&self) -> (String, Value) {
        let asked = self.asked.lock().expect("not poisoned");
        let (what, body) = asked.last().expect("it was asked");
        (what.clone(), serde_json::from_str(body).unwrap_or(Value::Null))
    }
}

fn over(detection: f64, recovery: f64) -> Value {
    let drill = json!({
        "id": "drl_1", "phase": "over", "upstream": "sendgrid", "fault": "error", "hit": 7,
        "detection_seconds": detection, "detection_target_seconds": DETECT_WITHIN.as_secs_f64(),
        "recovery_seconds": recovery, "recovery_target_seconds": RECOVER_WITHIN.as_secs_f64(),
    });
    json!({ "drill": drill.clone(), "drills": [drill] })
}

#[test]
fn the_readmes_commands_ask_what_the_readme_says() {
    let (readme, dir) = (readme(), tempfile::tempdir().expect("a directory"));
    let lines: Vec<&str> =
        block(&readme, "bash").lines().map(|line| line.split('#').next().unwrap_or(line)).collect();
    let [start, watch, report, stop] = lines[..] else { panic!("{lines:?}") };
    let port = Port::saying(over(29.9, 299.0));
    let fine = |line: &str| {
        let ran = port.run(line, dir.path());
        assert_eq!(ran.status.code(), Some(0), "{line}: {}", String::from_utf8_lossy(&ran.stderr));
    };
    fine(start);
    let (what, order) = port.last();
    assert_eq!(what, "POST /api/v2/sre/drills");
    let row =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("reads");
    let row =
        row.lines().find(|line| line.starts_with("| `POST /api/v2/sre/drills`")).expect("its row").to_owned();
    let told = row.rsplit('`').nth(1).expect("its body");
    let told: Value = serde_json::from_str(told).expect("JSON");
    for key in ["upstream", "fault", "percent", "duration"] {
        assert_eq!(order[key], told[key], "{key}: {row}");
    }
    assert_eq!(
        (&order["reason"], &order["writes"], &order["payments"]),
        (&"monthly".into(), &false.into(), &false.into())
    );
    fine(watch);
    fine(report);
    assert_eq!(port.last().0, "GET /api/v2/sre/drills/drl_1?format=html");
    assert!(dir.path().join("drill.html").exists());
    fine(stop);
    assert_eq!(port.last().0, "DELETE /api/v2/sre/drills");
    // The targets of the comment: less than 30 s, and less than 5 min.
    assert!(readme.contains("detected in under 30 s, recovered in under 5 min"), "{readme}");
    for (detection, recovery) in [(30.0, 1.0), (1.0, 300.0)] {
        let late = Port::saying(over(detection, recovery)).run(watch, dir.path());
        assert_eq!(late.status.code(), Some(1), "{detection} s, {recovery} s");
    }
}

#[test]
fn the_readmes_flags_and_faults_are_those_that_there_are() {
    let readme = readme();
    let help =
        Command::new(env!("CARGO_BIN_EXE_strop")).args(["drill", "start", "--help"]).output().expect("runs");
    let help = String::from_utf8(help.stdout).expect("text");
    let words = readme.split(|c: char| c.is_whitespace() || "`(),.\"".contains(c));
    let flags: std::collections::BTreeSet<&str> = words.filter(|word| word.starts_with("--")).collect();
    let of_report = ["--format", "--out"];
    assert!(flags.len() >= 9, "{flags:?}");
    for flag in flags.iter().filter(|flag| !of_report.contains(flag)) {
        assert!(help.contains(flag), "{flag}\n{help}");
    }
    for fault in Fault::LABELS {
        assert!(readme.contains(&format!("`{fault}`")), "{fault}");
    }
    assert!(
        readme.contains(&format!("`--status {}`", Fault::STATUS)) && help.contains("Default: 503"),
        "{help}"
    );
}

#[test]
fn the_readmes_figures_of_drills_are_the_defaults() {
    let (readme, policy) = (readme(), DrillPolicy::default());
    let minutes = |span: Duration| span.as_secs() / 60;
    for told in [
        format!("when {} % (`max_errors`)", (policy.errors.ratio() * 100.0).round()),
        format!("`settle` ({} min)", minutes(policy.settle)),
        format!(
            "detected in under {} s, recovered in under {} min",
            DETECT_WITHIN.as_secs(),
            minutes(RECOVER_WITHIN)
        ),
        "(off by default)".to_owned(),
    ] {
        assert!(readme.contains(&told), "{told}\n{readme}");
    }
    assert!(readme.contains("half (`max_degraded`)") && policy.degraded == Percent::of(50), "{readme}");
    assert!(
        readme.contains("once a minute for an hour after") && LATE == Duration::from_secs(3_600),
        "{readme}"
    );
    assert_eq!(strop::config::load("[egress]\n", "a test", &[]).expect("runs").drill, policy);
}

#[test]
fn the_readmes_drill_of_each_month_can_run() {
    let readme = readme();
    let written = block(&readme, "toml");
    let text = format!("[egress]\n[upstreams.sendgrid]\npreset = \"sendgrid\"\n{written}");
    let config = strop::config::load(&text, "README", &[]).unwrap_or_else(|problems| panic!("{problems}"));
    let plan = &config.drill_schedule.as_ref().expect("one").plan;
    assert_eq!(plan.when.to_string(), "first tuesday at 10:00 Europe/Berlin");
    assert_eq!((&*plan.order.upstream, plan.order.fault), ("sendgrid", Fault::Error(Fault::STATUS)));
    assert_eq!((plan.order.share, plan.order.lasts), (Percent::of(20), Duration::from_secs(300)));
    let advice = strop::config::advice::of(&config);
    assert!(advice.iter().all(|advice| !advice.at.starts_with("drill")), "{advice:?}");
    // What the comment names as other days is read as well.
    for day in ["last friday", "day 15"] {
        assert!(written.contains(&format!("\"{day}\"")), "{written}");
        let other = text.replace("\"first tuesday\"", &format!("{day:?}"));
        let config =
            strop::config::load(&other, "README", &[]).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(config.drill_schedule.expect("one").plan.when.to_string().starts_with(day), "{day}");
    }
}

/// The same is written as comments in the reference.
#[test]
fn the_references_drill_of_each_month_can_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/reference.toml");
    let text = std::fs::read_to_string(path).expect("reads");
    let from = text.find("# [drill.schedule]").expect("it is there");
    let lines = text[from..].lines().take_while(|line| line.starts_with("# "));
    // Latency goes with another fault.
    let lines = lines.map(|line| &line[2..]).filter(|line| !line.starts_with("latency"));
    let written = lines.collect::<Vec<_>>().join("\n");
    let text = format!(
        "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n[drill]\nmode = \"on\"\n{written}\n"
    );
    let config =
        strop::config::load(&text, "reference", &[]).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    assert_eq!(config.drill_schedule.as_ref().expect("one").plan.order.lasts, Duration::from_secs(300));
    assert_eq!(strop::config::advice::of(&config), []);
}
