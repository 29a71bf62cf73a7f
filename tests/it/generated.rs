//! What is made of the words of `--help`: completions that each shell loads, and the manual.

use std::process::{Command, Output};

use crate::support::proxy::ingress_to;
use crate::support::upstream::{Upstream, status};

const STROP: &str = env!("CARGO_BIN_EXE_strop");

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .env("STROP", STROP)
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}"))
}

fn out(ran: &Output) -> String {
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[test]
fn bash_completes_commands_options_and_words() {
    let ask = |words: &str, at: usize| {
        let script = format!(
            "eval \"$(\"$STROP\" completions bash)\"; COMP_WORDS=({words}); COMP_CWORD={at}; COMP_LINE='{words}'; \
             _strop strop \"${{COMP_WORDS[{at}]}}\" \"${{COMP_WORDS[{at}-1]}}\"; printf '%s\\n' \"${{COMPREPLY[@]}}\""
        );
        out(&run("bash", &["-c", &script]))
    };
    assert_eq!(ask("strop heal", 1), "healthcheck\n");
    let config = ask("strop config ''", 2);
    assert!(config.contains("show\n") && config.contains("diff\n"), "{config}");
    assert_eq!(ask("strop config show --eff", 3), "--effective\n");
    let shells = ask("strop completions ''", 2);
    assert!(shells.contains("fish\n") && shells.contains("zsh\n"), "{shells}");
}

#[test]
fn zsh_and_fish_load_their_completions() {
    let zsh = "autoload -U compinit; compinit -u -D; eval \"$(\"$STROP\" completions zsh)\"; print -r -- ${_comps[strop]}";
    assert_eq!(out(&run("zsh", &["-f", "-c", zsh])), "_strop\n");
    let fish = "$STROP completions fish | source; complete -C 'strop heal'";
    assert!(out(&run("fish", &["--no-config", "-c", fish])).starts_with("healthcheck\t"));
}

#[test]
fn each_command_has_a_page_of_the_manual() {
    let page = out(&run(STROP, &["man"]));
    assert!(page.contains(".TH strop 1") && page.contains("healthcheck"), "{page}");
    let dir = tempfile::tempdir().expect("a directory");
    let to = dir.path().join("man1").display().to_string();
    out(&run(STROP, &["man", "--to", &to]));
    let read = |name: &str| {
        std::fs::read_to_string(dir.path().join("man1").join(name))
            .unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(read("strop-config-show.1").contains("strop config show"), "its examples are in it");
    let refused = run(STROP, &["man", "--to", "/dev/null/man"]);
    assert_eq!(refused.status.code(), Some(1));
}

/// All commands, by what `--help` lists.
fn commands(path: &[&str], found: &mut Vec<Vec<String>>) {
    let help = out(&run(STROP, &[path, &["--help"]].concat()));
    let listed =
        help.split_once("Commands:\n").map(|(_, rest)| rest.split("\n\n").next().unwrap_or_default());
    let names =
        listed.unwrap_or_default().lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    for name in names.filter(|name| !name.is_empty() && *name != "help") {
        let path = [path, &[name]].concat();
        found.push(path.iter().map(|part| (*part).to_owned()).collect());
        commands(&path, found);
    }
}

#[test]
fn each_help_has_an_example_and_a_mistyped_command_names_the_one_that_was_meant() {
    let mut found = Vec::new();
    commands(&[], &mut found);
    assert!(found.len() > 50, "{found:?}");
    for path in found {
        let args: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
        let help = out(&run(STROP, &args));
        let example = format!("\n  strop {}", path.join(" "));
        assert!(help.contains("Examples:") && help.contains(&example), "{path:?}: {help}");
    }
    for (args, meant) in [
        (vec!["chekc"], "check"),
        (vec!["breaker", "opne"], "open"),
        (vec!["env", "--shell", "fisch"], "fish"),
    ] {
        let said = String::from_utf8_lossy(&run(STROP, &args).stderr).into_owned();
        assert!(said.contains("similar") && said.contains(meant), "{said}");
    }
}

const AROUND: &str = "[ingress]\n[egress]\n[upstreams.backend]\nendpoints = [\"BACKEND\"]\n[upstreams.stripe]\nendpoints = [\"BACKEND\"]\n\
                      hosts = [\"api.stripe.com\"]\nlocal = \"127.0.0.1:9101\"\nallow_addresses = [\"127.0.0.0/8\"]\n[store]\nurl = \"off\"\n";

/// The examples that a help lists, and the exit codes that it names.
fn examples(help: &str) -> (Vec<String>, Vec<i32>) {
    let listed =
        help.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("strop "));
    let codes = help.split_once("Exit codes: ").map(|(_, codes)| codes).unwrap_or_default();
    let codes = codes.split(';').filter_map(|part| part.trim().split(' ').next()?.parse().ok());
    (listed.map(str::to_owned).collect(), codes.collect())
}

/// With a file and a sidecar at hand they do something, and what their exit code says is what `--help` says of it.
#[test]
fn each_example_of_a_help_ends_with_an_exit_code_that_it_names() {
    let backend = Upstream::start(status(200));
    let proxy = ingress_to(backend.address, "");
    let config = AROUND.replace("BACKEND", &backend.address.to_string());
    let path = std::path::Path::new(STROP).parent().expect("it lies somewhere").display().to_string();
    let mut found = Vec::new();
    commands(&[], &mut found);
    let mut ran = 0;
    for command in found {
        let args: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
        let (lines, mut codes) = examples(&out(&run(STROP, &args)));
        // These two run until they are stopped, and groups list the examples of others.
        if codes.is_empty() || command == ["run"] || command == ["demo"] {
            continue;
        }
        // Of `exec` it is the application's.
        codes.push(if command == ["exec"] { 0 } else { codes[0] });
        for mut line in lines {
            if command == ["tap"] {
                line = line.replacen("tap", "tap --for 1s", 1);
            }
            let dir = tempfile::tempdir().expect("a directory");
            for name in ["strop.toml", "old.toml"].into_iter().filter(|_| command != ["init"]) {
                std::fs::write(dir.path().join(name), &config).expect("writes");
            }
            let mut shell = Command::new("sh");
            shell.args(["-c", &line]).current_dir(dir.path()).stdin(std::process::Stdio::null());
            shell.env("PATH", format!("{path}:{}", std::env::var("PATH").unwrap_or_default()));
            let ended = shell.env("STROP_ADMIN", proxy.admin().to_string()).output().expect("runs");
            let said = String::from_utf8_lossy(&ended.stderr).into_owned();
            assert!(codes.contains(&ended.status.code().expect("a code")), "{line}: {} {said}", ended.status);
            assert!(!said.contains("Usage: "), "{line}: {said}");
            ran += 1;
        }
    }
    assert!(ran > 70, "{ran} examples");
}
