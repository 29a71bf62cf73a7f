//! What `--help` says below each command: examples and exit codes. A row a command, so that none is without.

use clap::Command;

/// What is told of one command.
struct CommandNotes {
    /// Its path, such as `breaker open`.
    command: &'static str,
    examples: &'static [&'static str],
    /// What each exit code means.
    exit: &'static str,
}

const fn notes(command: &'static str, examples: &'static [&'static str], exit: &'static str) -> CommandNotes {
    CommandNotes { command, examples, exit }
}

/// Of a look at a running sidecar.
const LOOK: &str = "0 it was told; 2 nobody could be asked, or it was refused";
/// Of an order.
const ORDER: &str = "0 it is done; 2 it is not";
/// Of what reads the file alone.
const FILE: &str = "0 it was told; 2 the config cannot run";

const NOTES: &[CommandNotes] = &[
    notes(
        "",
        &["strop demo --traffic", "strop init", "strop check --live", "strop run", "strop status"],
        "0 done; 1 done, and something is not well; 2 not done; each command says which it has",
    ),
    notes(
        "run",
        &["strop run", "strop run --backend 127.0.0.1:8001", "strop run --config strop.toml"],
        "0 it left in order; 1 it could not start; 2 the config cannot run; 3 it left late",
    ),
    notes(
        "init",
        &[
            "strop init",
            "strop init --backend 127.0.0.1:8001 --calls stripe --calls twilio",
            "strop init --backend app:8001 --listen 0.0.0.0:8000 --trusted-hops 1 --to front.toml",
        ],
        "0 it is written; 1 the file is there already, or cannot be written; 2 what was answered makes no config",
    ),
    notes(
        "check",
        &[
            "strop check",
            "strop check strop.toml --strict",
            "strop check --json",
            "strop check --live --within 2s",
        ],
        "0 all can run; 1 there is a warning or advice, and --strict; 2 one cannot run; 3 with --live: something that one names does \
         not answer",
    ),
    notes(
        "healthcheck",
        &["strop healthcheck", "strop healthcheck --admin 127.0.0.1:9901"],
        "0 it is ready; 1 it is not, or nobody answers; 2 the address leads nowhere",
    ),
    notes("schema", &["strop schema"], "0"),
    notes(
        "explain",
        &[
            "strop explain upstreams.stripe.breaker.open_for",
            "strop explain 'upstreams.*.retry.attempts' --json",
            "strop explain upstreams.stripe.timeouts --config strop.toml",
        ],
        "0 it is explained; 2 there is no such key, or the file that was named cannot run",
    ),
    notes("explain routes", &["strop explain routes", "strop explain routes --json"], LOOK),
    notes(
        "explain request",
        &[
            "strop explain request GET /bookings/7",
            "strop explain request POST https://api.stripe.com/v1/charges",
            "strop explain request POST http://127.0.0.1:9101/v1/charges --by stripe --header 'Idempotency-Key: 7'",
            "strop explain request GET http://api.stripe.com/v1/balance --json",
        ],
        "0 it would go to an upstream; 1 it would be refused; 2 it is no request, or the config cannot run",
    ),
    notes(
        "audit verify",
        &["strop audit verify", "strop audit verify --config strop.toml"],
        "0 the chain is whole; 1 it is broken, or cannot be read; 2 the config cannot run",
    ),
    notes(
        "backup",
        &["strop backup", "strop backup --to /var/backups/strop"],
        "0 the copy is made and proved; 1 it is not; 2 the config cannot run",
    ),
    notes(
        "backup verify",
        &["strop backup verify /var/backups/strop/strop.db"],
        "0 the copy is good; 1 it is not; 2 it cannot be looked at",
    ),
    notes(
        "report sla",
        &[
            "strop report sla --month 2026-10 --out october.html",
            "strop report sla --month 2026-10 --time-zone Europe/Berlin --hours 'mon-fri 08:00-20:00' --format json",
        ],
        "0 it is written; 1 the store cannot be read; 2 the config cannot run, or what is asked is none",
    ),
    notes(
        "report review",
        &[
            "strop report review inc_01m5r91wqg0000000007",
            "strop report review inc_01m5r91wqg0000000007 --format json",
        ],
        "0 it is written; 1 the store cannot be read, or has no such incident; 2 the config cannot run",
    ),
    notes(
        "notify test",
        &["strop notify test pager"],
        "0 the receiver took it; 1 it did not; 2 the config cannot run",
    ),
    notes("runbook list", &["strop runbook list"], FILE),
    notes(
        "runbook show",
        &["strop runbook show payment_failure"],
        "0 it was told; 2 there is none, or the config cannot run",
    ),
    notes(
        "runbook run",
        &["strop runbook run payment_failure", "strop runbook run payment_failure --service stripe --json"],
        "0 nothing is bad; 1 something is; 2 it was not done",
    ),
    notes(
        "drill start",
        &["strop drill start sendgrid error --percent 20% --for 5m --reason monthly"],
        "0 it has begun; 2 it was refused",
    ),
    notes(
        "drill watch",
        &["strop drill watch"],
        "0 detection and recovery are within the guide's targets; 1 they are not, or were not observed; 2 there is no drill, or \
         nobody answers",
    ),
    notes("drill stop", &["strop drill stop --reason enough"], ORDER),
    notes("drill report", &["strop drill report", "strop drill report --format html --out drill.html"], LOOK),
    notes(
        "status",
        &["strop status", "strop status --json", "strop status --admin 127.0.0.1:9901"],
        "0 all is well; 1 something is not; 2 nobody could be asked",
    ),
    #[cfg(feature = "top")]
    notes(
        "top",
        &[
            "strop top",
            "strop top --every 5s --admin 127.0.0.1:9901",
            "strop top --actor ann",
            "strop top --json --times 2",
        ],
        "0 left, or printed; 2 the sidecar could not be asked, or the terminal not be used",
    ),
    notes(
        "tap",
        &[
            "strop tap --status 5xx",
            "strop tap --upstream stripe --slower-than 500ms --limit 20",
            "strop tap --outcome refused --reason breaker_open",
            "strop tap --header x-debug --method POST",
            "strop tap --sample 1% --json > exchanges.jsonl",
        ],
        "0 enough, its time is over, or you stopped it; 2 it was refused, or cut off",
    ),
    notes("breaker list", &["strop breaker list", "strop breaker list --json"], LOOK),
    notes("breaker show", &["strop breaker show stripe"], LOOK),
    notes("breaker open", &["strop breaker open stripe --ttl 10m --reason 'a deploy of theirs'"], ORDER),
    notes("breaker close", &["strop breaker close stripe", "strop breaker close stripe --force"], ORDER),
    notes("breaker release", &["strop breaker release stripe"], ORDER),
    notes("incidents list", &["strop incidents list", "strop incidents list --all"], LOOK),
    notes("incidents show", &["strop incidents show inc_01m8kkjsb44cnxck5kx0"], LOOK),
    notes("incidents ack", &["strop incidents ack inc_01m8kkjsb44cnxck5kx0"], ORDER),
    notes(
        "incidents note",
        &["strop incidents note inc_01m8kkjsb44cnxck5kx0 'their status page says so too'"],
        ORDER,
    ),
    notes("incidents assign", &["strop incidents assign inc_01m8kkjsb44cnxck5kx0 ann"], ORDER),
    notes(
        "incidents resolve",
        &["strop incidents resolve inc_01m8kkjsb44cnxck5kx0 --reason 'it was the deploy'"],
        ORDER,
    ),
    notes("silence list", &["strop silence list"], LOOK),
    notes(
        "silence begin",
        &["strop silence begin stripe --for 2h --maintenance --reason 'their maintenance'"],
        ORDER,
    ),
    notes("silence end", &["strop silence end sil_01m8kkjsb44cnxck5kx0"], ORDER),
    notes("recovery list", &["strop recovery list"], LOOK),
    notes("recovery run", &["strop recovery run database_failure --service database --dry-run"], ORDER),
    notes("recovery approve", &["strop recovery approve run_01m8kkjsb44cnxck5kx0"], ORDER),
    notes(
        "recovery cancel",
        &["strop recovery cancel run_01m8kkjsb44cnxck5kx0 --reason 'it is well'"],
        ORDER,
    ),
    notes("outbox list", &["strop outbox list"], LOOK),
    notes("outbox retry", &["strop outbox retry 7"], ORDER),
    notes("outbox drop", &["strop outbox drop 7 --reason 'it was sent by hand'"], ORDER),
    notes("uptime", &["strop uptime", "strop uptime --json"], LOOK),
    notes(
        "config show",
        &[
            "strop config show",
            "strop config show --effective --origin",
            "strop config show --config strop.toml --effective",
            "strop config show --json",
        ],
        "0 it is printed; 2 nobody could be asked, or the file cannot run",
    ),
    notes(
        "config diff",
        &["strop config diff strop.toml", "strop config diff strop.toml old.toml --json"],
        "0 nothing would change; 1 something would; 2 it cannot be told, or the file cannot run",
    ),
    notes(
        "doctor",
        &["strop doctor", "strop doctor --to report.json --admin 127.0.0.1:9901"],
        "0 it is written; 1 it is, and nobody could be asked; 2 it cannot be written",
    ),
    notes(
        "env",
        &[
            "strop env",
            "strop env --shell fish",
            "strop env --shell dotenv",
            "strop env --shell docker",
            "strop env --shell kubernetes --no-proxy .cluster.local",
            "strop env --json",
        ],
        "0 they are printed; 2 the config cannot run, or the file of --ca holds no roots",
    ),
    notes(
        "exec",
        &["strop exec -- env", "strop exec --config strop.toml --no-proxy .cluster.local -- env"],
        "that of the application; 2 the config cannot run; 126 the application cannot be started; 127 there is none",
    ),
    notes("log-level show", &["strop log-level show"], LOOK),
    notes("log-level set", &["strop log-level set debug --ttl 10m --reason 'who is it?'"], ORDER),
    notes("log-level release", &["strop log-level release"], ORDER),
    notes(
        "readiness show",
        &["strop readiness show"],
        "0 traffic may come; 1 it may not; 2 nobody could be asked",
    ),
    notes("readiness hold", &["strop readiness hold --ttl 10m --reason 'a look at its memory'"], ORDER),
    notes("readiness release", &["strop readiness release"], ORDER),
    notes("drain", &["strop drain --reason 'the machine is shut down'"], ORDER),
    notes(
        "reload",
        &["strop reload"],
        "0 the file is in force; 2 it was refused, and the one before is in force",
    ),
    notes("demo", &["strop demo", "strop demo --traffic"], "0 it was stopped; 1 it cannot start"),
    notes(
        "demo weather",
        &[
            "strop demo weather stripe stormy",
            "strop demo weather database dark",
            "strop demo weather stripe sunny",
        ],
        "0 it is so now; 1 no demo is running; 2 there is no such service or weather",
    ),
    notes("completions", &["strop completions bash", "strop completions zsh", "strop completions fish"], "0"),
    notes(
        "man",
        &["strop man", "strop man --to man1"],
        "0 it is written; 1 the directory cannot be written to",
    ),
];

impl CommandNotes {
    fn text(&self) -> String {
        format!("{}\n\nExit codes: {}", listed(self.examples.iter().copied()), self.exit)
    }
}

fn listed<'a>(examples: impl Iterator<Item = &'a str>) -> String {
    examples.fold("Examples:".to_owned(), |text, one| format!("{text}\n  {one}"))
}

/// The same command, with what is told of it and of those below it.
pub(super) fn noted(command: Command, path: &str) -> Command {
    let told = NOTES.iter().find(|notes| notes.command == path).map(CommandNotes::text);
    let below: Vec<String> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    // Of a group the first example of each.
    let first = |name: &String| {
        let path = under(path, name);
        NOTES.iter().find(|notes| notes.command == path)?.examples.first().copied()
    };
    let text = told.unwrap_or_else(|| listed(below.iter().filter_map(first)));
    let command = command.after_help(text);
    below
        .iter()
        .fold(command, |command, name| command.mut_subcommand(name, |inner| noted(inner, &under(path, name))))
}

fn under(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path} {name}") }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    /// All commands that do something, by their paths.
    fn all(command: &Command, path: &str, found: &mut Vec<String>) {
        let below: Vec<&Command> = command.get_subcommands().collect();
        if below.is_empty() || (!path.is_empty() && !command.is_subcommand_required_set()) {
            found.push(path.to_owned());
        }
        below.into_iter().for_each(|inner| all(inner, &under(path, inner.get_name()), found));
    }

    #[test]
    fn each_command_has_examples_and_exit_codes_and_each_row_has_a_command() {
        let mut commands = Vec::new();
        all(&Cli::command(), "", &mut commands);
        let rows = NOTES.iter().map(|notes| notes.command.to_owned());
        let mut rows: Vec<String> = rows.filter(|row| !row.is_empty()).collect();
        commands.sort();
        rows.sort();
        assert_eq!(commands, rows);
        assert!(NOTES.iter().all(|notes| !notes.examples.is_empty() && !notes.exit.is_empty()));
    }

    #[test]
    fn each_example_is_of_its_command() {
        for notes in NOTES {
            for example in notes.examples {
                let prefix = format!("strop {}", notes.command);
                assert!(example.starts_with(&prefix), "{example} is no example of {prefix}");
            }
        }
    }
}
