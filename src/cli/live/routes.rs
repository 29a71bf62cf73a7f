//! `strop explain routes`: what the requests look like that have no route of their own, and what to write for them.

use std::process::ExitCode;

use serde_json::Value;

use super::super::output::say;
use super::LiveArgs;
use super::table::{list, percent, plain, table, text};

/// Templates that are proposed, at most.
const PROPOSED: usize = 20;

pub(super) fn routes(args: &LiveArgs) -> Result<ExitCode, String> {
    args.look("routes", tell)
}

fn tell(told: &Value) -> ExitCode {
    named(told);
    let seen = &told["unnamed"];
    let [since, requests, sampled, others] =
        ["since", "requests", "sampled", "others"].map(|field| text(&seen[field]));
    say(&format!(
        "without a name of their own since {since}: {requests} requests, of which {sampled} were sampled"
    ));
    let templates = list(seen, "templates");
    if templates.is_empty() {
        say("no template to propose: none of them could be seen");
        return ExitCode::SUCCESS;
    }
    let methods = |one: &Value| {
        let all = one["methods"].as_object().into_iter().flatten();
        all.map(|(method, count)| format!("{method} {}", text(count))).collect::<Vec<_>>().join(", ")
    };
    let row =
        |one: &Value| [text(&one["template"]), text(&one["sampled"]), percent(&one["share"]), methods(one)];
    let rows: Vec<_> = templates.iter().take(PROPOSED).map(row).collect();
    say(&table(["template", "sampled", "share", "methods"], &rows));
    let rest: u64 = templates.iter().skip(PROPOSED).filter_map(|one| one["sampled"].as_u64()).sum();
    if rest > 0 || others != "0" {
        say(&format!("and {rest} more of rarer templates, {others} that cannot be told apart"));
    }
    say(
        "\nA guess by what paths look like, and used by nobody. To name some of them, take what is right into the config:\n",
    );
    for one in templates.iter().take(PROPOSED) {
        say(&format!("[[routes]]\npath = {}\n", toml::Value::from(text(&one["template"]))));
    }
    ExitCode::SUCCESS
}

/// Who has named routes, in a line.
fn named(told: &Value) {
    let by = |who: &str| {
        list(told, "routes").iter().filter(|one| one["named_by"] == who && one["gone_at"].is_null()).count()
    };
    let document = &told["document"];
    let document = match document["path"].as_str() {
        None => "no document is read (ingress.openapi)".to_owned(),
        Some(path) => {
            let why = document["why"].as_str().map_or_else(String::new, |why| format!(": {}", plain(why)));
            format!("{} is {}{why}", plain(path), text(&document["state"]))
        }
    };
    say(&format!(
        "routes: {} of the config, {} of the application's document; {document}",
        by("config"),
        by("document")
    ));
}
