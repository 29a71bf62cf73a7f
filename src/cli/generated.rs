//! `strop completions` and `strop man`: made of the same words as `--help`.

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};

use super::output::complain;

/// A shell that completes.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum CompletionShell {
    Bash,
    Zsh,
    Fish,
}

#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    #[arg(value_enum)]
    shell: CompletionShell,
}

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// A directory that gets a page for each command (strop.1, strop-run.1, …). Default: the page of all commands, to standard
    /// output.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

/// Prints what a shell is to load.
pub(super) fn completions(CompletionsArgs { shell }: &CompletionsArgs, mut command: Command) -> ExitCode {
    let shell = match shell {
        CompletionShell::Bash => clap_complete::Shell::Bash,
        CompletionShell::Zsh => clap_complete::Shell::Zsh,
        CompletionShell::Fish => clap_complete::Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "strop", &mut text);
    // A reader that has gone away is no error.
    let _ = io::Write::write_all(&mut io::stdout(), &text);
    ExitCode::SUCCESS
}

/// Writes man pages.
pub(super) fn man(ManArgs { to }: &ManArgs, command: Command) -> ExitCode {
    let done = match to {
        Some(directory) => std::fs::create_dir_all(directory)
            .and_then(|()| clap_mangen::generate_to(command, directory).map(drop)),
        None => {
            let mut page = Vec::new();
            let done = clap_mangen::Man::new(command).render(&mut page);
            let _ = io::Write::write_all(&mut io::stdout(), &page);
            done
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("the pages cannot be written: {error}"));
            ExitCode::FAILURE
        }
    }
}
