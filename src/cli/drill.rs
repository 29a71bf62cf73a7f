//! `strop drill`: have a running sidecar put a fault into part of one upstream's requests, watch that, end it, read its report.

use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::door::{AdminDoor, who};
use super::output::{complain, say};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);

/// Drills of a running sidecar.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum DrillCommand {
    /// Begin one. Exit code 0: it has begun; 2: it was refused.
    Start(StartArgs),
    /// Tell how it moves until it is over. Exit code 0: detection and recovery are within the guide's targets; 1: they are not,
    /// or were not observed; 2: nobody answers, or there is no drill.
    Watch {
        /// The drill; without it, the youngest.
        id: Option<String>,
        #[command(flatten)]
        door: AdminDoor,
    },
    /// End the injection that goes on.
    Stop {
        /// Who orders it; for the audit log. Default: $USER.
        #[arg(long)]
        actor: Option<String>,
        /// Why; for the audit log.
        #[arg(long, default_value = "")]
        reason: String,
        #[command(flatten)]
        door: AdminDoor,
    },
    /// Print the report of one.
    Report {
        /// The drill; without it, the youngest.
        id: Option<String>,
        /// How it is written.
        #[arg(long, value_enum, default_value_t = DrillForm::Markdown)]
        format: DrillForm,
        /// Where it is written to. Default: standard output.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        door: AdminDoor,
    },
}

/// What is to be done to whose requests.
#[derive(Clone, Debug, Args)]
pub(super) struct StartArgs {
    /// Whose requests are hit.
    upstream: String,
    /// latency, error, reset or blackhole.
    fault: String,
    /// The share of requests that are hit, such as 20%.
    #[arg(long, value_name = "SHARE")]
    percent: String,
    /// How long, such as 5m.
    #[arg(long = "for", value_name = "TIME")]
    lasts: String,
    /// With latency: how much later a request is sent, such as 500ms.
    #[arg(long, value_name = "TIME")]
    latency: Option<String>,
    /// With error: the status. Default: 503.
    #[arg(long)]
    status: Option<u16>,
    /// Hit other methods than GET, HEAD and OPTIONS too. What takes a payment never is.
    #[arg(long)]
    writes: bool,
    /// The upstream may be one that takes payments: its breaker may refuse them while it is open.
    #[arg(long)]
    payments: bool,
    /// Call people, as for a real incident; each message says that it is a drill.
    #[arg(long)]
    call: bool,
    /// Who orders it. Default: $USER.
    #[arg(long)]
    actor: Option<String>,
    /// Why; shown to everybody.
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    door: AdminDoor,
}

/// Forms of the report.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum DrillForm {
    /// For people.
    Markdown,
    /// One page for people; no scripts, nothing from elsewhere.
    Html,
    /// All figures, as the API tells them.
    Json,
}

impl DrillForm {
    fn word(self) -> &'static str {
        match self {
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Json => "json",
        }
    }
}

/// Does it.
pub(super) fn drill(command: DrillCommand) -> ExitCode {
    let done = match command {
        DrillCommand::Start(args) => start(&args),
        DrillCommand::Watch { id, door } => watch(id.as_deref(), &door),
        DrillCommand::Stop { actor, reason, door } => {
            let order = json!({ "actor": who(actor), "reason": reason });
            order_of(&door, "DELETE", &order)
        }
        DrillCommand::Report { id, format, out, door } => report(id.as_deref(), format, out, &door),
    };
    done.unwrap_or_else(|problem| {
        complain(&problem);
        ExitCode::from(2)
    })
}

fn start(args: &StartArgs) -> Result<ExitCode, String> {
    let order = json!({
        "upstream": args.upstream, "fault": args.fault, "percent": args.percent, "duration": args.lasts,
        "latency": args.latency, "status": args.status, "writes": args.writes, "payments": args.payments,
        "call": args.call, "actor": who(args.actor.clone()), "reason": args.reason,
    });
    order_of(&args.door, "POST", &order)
}

fn order_of(door: &AdminDoor, method: &str, order: &Value) -> Result<ExitCode, String> {
    let answer = asked(door, method, "drills", &order.to_string())?;
    say(&told(&answer["drill"]));
    Ok(ExitCode::SUCCESS)
}

fn asked(door: &AdminDoor, method: &str, path: &str, order: &str) -> Result<Value, String> {
    door.asked(method, path, order).map(|(answer, _)| answer)
}

/// One line.
fn told(drill: &Value) -> String {
    let text = |field: &str| drill[field].as_str().unwrap_or_default();
    let seconds = |field: &str| {
        drill[field].as_f64().map_or_else(|| "not observed".to_owned(), |seconds| format!("{seconds:.1} s"))
    };
    let why = drill["end_reason"].as_str().map(|why| format!(" ({why})")).unwrap_or_default();
    format!(
        "{}: {} of {}: {}{why}; hit {}, detection {}, recovery {}",
        text("id"),
        text("fault"),
        text("upstream"),
        text("phase"),
        drill["hit"],
        seconds("detection_seconds"),
        seconds("recovery_seconds"),
    )
}

fn youngest(id: Option<&str>, door: &AdminDoor) -> Result<Value, String> {
    let all = asked(door, "GET", "drills", "")?;
    let drills = all["drills"].as_array().cloned().unwrap_or_default();
    let found = drills.into_iter().find(|one| id.is_none_or(|id| one["id"] == id));
    found.ok_or_else(|| match id {
        Some(id) => format!("no drill at hand is named {id:?}"),
        None => "there was no drill since the start of that sidecar".to_owned(),
    })
}

fn watch(id: Option<&str>, door: &AdminDoor) -> Result<ExitCode, String> {
    let mut drill = youngest(id, door)?;
    let id = drill["id"].as_str().unwrap_or_default().to_owned();
    let mut before = String::new();
    loop {
        let line = told(&drill);
        if line != before {
            say(&line);
            before = line;
        }
        if drill["phase"] == "over" {
            break;
        }
        sleep(EVERY);
        drill = youngest(Some(&id), door)?;
    }
    let within = |took: &str, target: &str| match (drill[took].as_f64(), drill[target].as_f64()) {
        (Some(took), Some(target)) => took < target,
        (_, _) => false,
    };
    let met = within("detection_seconds", "detection_target_seconds")
        && within("recovery_seconds", "recovery_target_seconds");
    Ok(if met { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(
    id: Option<&str>,
    format: DrillForm,
    out: Option<PathBuf>,
    door: &AdminDoor,
) -> Result<ExitCode, String> {
    let drill = youngest(id, door)?;
    let id = drill["id"].as_str().unwrap_or_default();
    let (status, body) = door.ask("GET", &format!("drills/{id}?format={}", format.word()), "")?;
    if status != 200 {
        return Err(format!("{status}: there is no report of {id}"));
    }
    match out {
        Some(path) => std::fs::write(&path, body).map_err(|error| format!("{}: {error}", path.display()))?,
        None => say(body.trim_end()),
    }
    Ok(ExitCode::SUCCESS)
}
