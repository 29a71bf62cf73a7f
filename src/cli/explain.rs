//! `strop explain`: what a key is, and what would become of a request, from the file; and what requests look like that have no route
//! of their own, of a running sidecar.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::file;
use super::live::{self, LiveArgs};
use super::output::{complain, say};
use crate::app::explain::{self, AskedRequest, ExplainedRequest};
use crate::config::Config;
use crate::config::explain::KeyHelp;
use crate::config::origin::{self, KeyOrigin};

/// What is asked about.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct ExplainArgs {
    #[command(subcommand)]
    what: Option<ExplainCommand>,
    /// A key with its tables, such as upstreams.stripe.breaker.failures; a table lists its keys. * stands for any name.
    #[arg(required = true)]
    key: Option<String>,
    /// The config file, for the value in force; found as `strop run` finds it.
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// What else can be explained.
#[derive(Debug, Subcommand)]
enum ExplainCommand {
    /// Tell what would become of a request: where it comes in, its route and upstream, timeouts, breaker, what would be repeated,
    /// how answers are judged, what stands in. Nothing is sent.
    Request(RequestArgs),
    /// Tell which templates the requests have that no route of a running sidecar has a name for, from a sample, with what to write for
    /// them. They are a guess, and never used by themselves.
    Routes(LiveArgs),
}

#[derive(Debug, Args)]
struct RequestArgs {
    /// GET, POST, …
    method: String,
    /// http://HOST[:PORT]/PATH, https://…, or /PATH alone for the ingress.
    url: String,
    /// A field of the request.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    fields: Vec<String>,
    /// Where it comes in: ingress, egress, tunnel (CONNECT), or the name of an upstream with a local listener. Default: where its
    /// address leads.
    #[arg(long, value_name = "WAY")]
    by: Option<String>,
    /// The config file; found as `strop run` finds it.
    #[arg(short, long)]
    config: Option<PathBuf>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Explains it.
pub(super) fn explain(args: ExplainArgs) -> ExitCode {
    match args.what {
        Some(ExplainCommand::Request(asked)) => request(asked),
        Some(ExplainCommand::Routes(args)) => live::seen_routes(&args),
        None => key(&args.key.unwrap_or_default(), args.config, args.json),
    }
}

fn request(args: RequestArgs) -> ExitCode {
    let config = match file::configured(args.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let RequestArgs { method, url, fields, by, json, config: _ } = args;
    match explain::request(&config, &AskedRequest { method, url, fields, by }) {
        Ok(told) => {
            if json {
                say(&json!(told).to_string());
            } else {
                in_words(&told);
            }
            if told.refused.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
        }
        Err(problem) => {
            complain(&problem);
            ExitCode::from(2)
        }
    }
}

fn in_words(told: &ExplainedRequest) {
    say(&format!("{} {}", told.method, told.url));
    say(&format!("  comes in at {}: {}", told.entrance, told.because));
    match (&told.refused, &told.route, &told.upstream) {
        (Some(refusal), _, _) => {
            say(&format!("  is refused with {} {}: {}", refusal.status, refusal.reason, refusal.says))
        }
        (None, Some(route), Some(upstream)) => say(&format!("  takes the route {route} to {upstream}")),
        (None, _, upstream) => say(&format!("  goes to {}", upstream.as_deref().unwrap_or("nobody"))),
    }
    let mut about = "";
    for fact in &told.facts {
        if fact.about != about {
            about = fact.about;
            say(&format!("\n{}", about.replace('_', "-")));
        }
        let key = if fact.key.is_empty() { String::new() } else { format!("  ({})", fact.key) };
        say(&format!("  {}{key}", fact.says));
    }
}

fn key(path: &str, config: Option<PathBuf>, as_json: bool) -> ExitCode {
    let help = match crate::config::explain::explain(path) {
        Ok(help) => help,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(2);
        }
    };
    // A key can be explained without a file: a broken one is no reason not to, unless it was named.
    let named = config.is_some();
    let config = match file::read(file::found(config).as_deref(), &file::overrides(None)) {
        Ok(config) => Some(config),
        Err(problem) if named => {
            complain(&problem);
            return ExitCode::from(2);
        }
        Err(_) => None,
    };
    let values = config.as_ref().map(|config| values(config, &help)).unwrap_or_default();
    if as_json {
        let values: Vec<Value> = values
            .iter()
            .map(|(key, value, origin)| json!({ "key": key, "value": value, "origin": origin }))
            .collect();
        let mut told = json!(help);
        told["values"] = values.into();
        say(&told.to_string());
    } else {
        tell(&help, &values);
    }
    ExitCode::SUCCESS
}

type KeyValue = (String, Value, Option<KeyOrigin>);

/// The values in force at a key, of each name where it has a `*`.
fn values(config: &Config, help: &KeyHelp) -> Vec<KeyValue> {
    if !help.keys.is_empty() {
        return Vec::new();
    }
    let (effective, origins) = (config.effective(), config.origins());
    let mut found = vec![(String::new(), &effective)];
    for part in help.key.split('.') {
        found = found.into_iter().flat_map(|(path, value)| below(&path, value, part)).collect();
    }
    let of = |(path, value): (String, &Value)| {
        let origin = origins.get(&path).cloned();
        (path, value.clone(), origin)
    };
    found.into_iter().map(of).collect()
}

fn below<'a>(path: &str, value: &'a Value, part: &str) -> Vec<(String, &'a Value)> {
    let inner = |key: &str| origin::below(path, key);
    match value {
        Value::Object(table) if part == "*" => table.iter().map(|(key, value)| (inner(key), value)).collect(),
        Value::Object(table) => table.get(part).map(|value| (inner(part), value)).into_iter().collect(),
        Value::Array(list) => {
            let all = list.iter().enumerate().map(|(nth, value)| (inner(&nth.to_string()), value));
            match part.parse::<usize>() {
                Ok(nth) => all.skip(nth).take(1).collect(),
                Err(_) if part == "*" => all.collect(),
                Err(_) if list.iter().any(|one| one["name"] == part) => {
                    all.filter(|(_, one)| one["name"] == part).collect()
                }
                // The number of a member may be left out.
                Err(_) => all.flat_map(|(path, value)| below(&path, value, part)).collect(),
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

fn tell(help: &KeyHelp, values: &[KeyValue]) {
    say(&help.key);
    for text in [&help.says, &help.remark].into_iter().filter(|text| !text.is_empty()) {
        text.lines().for_each(|line| say(&format!("  {line}")));
    }
    if help.keys.is_empty() {
        say(&format!("write:    {}", help.write));
        help.words.iter().for_each(|word| say(&format!("          {:?}: {}", word.word, word.means)));
        let default = if help.default.is_null() { "absent".to_owned() } else { help.default.to_string() };
        say(&format!("default:  {default}, unless a preset or the name of the upstream gives another"));
    }
    say(&format!("changes:  {}", help.applies.label()));
    for (key, value, origin) in values {
        let value = if value.is_null() { "not set".to_owned() } else { value.to_string() };
        let from =
            origin.as_ref().map_or("default".to_owned(), |origin| match (&origin.variable, origin.line) {
                (Some(variable), _) => variable.clone(),
                (None, Some(line)) => format!("{}, line {line}", origin.from.label()),
                (None, None) => origin.from.label().to_owned(),
            });
        say(&format!("in force: {key} = {value} ({from})"));
    }
    if !help.keys.is_empty() {
        say("keys:");
        let width = help.keys.iter().map(|line| line.key.len()).max().unwrap_or_default();
        help.keys.iter().for_each(|line| say(&format!("  {:<width$}  {}", line.key, line.says)));
    }
}
