//! `strop notify test`: does a channel reach somebody?

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Subcommand;

use super::{complain, run, say};
use crate::names::ChannelName;
use crate::notify::{Channels, PATIENCE, Sender};

/// Tries the ways to tell people.
#[derive(Clone, Debug, Subcommand)]
pub(super) enum Notify {
    /// Send a test message and print what the receiver said. Exit code 0: it was taken; 1: it was not; 2:
    /// the config cannot run.
    Test {
        /// The name of a [notify.<name>] table.
        channel: String,
        /// The config file; found as `strop run` finds it.
        #[arg(short, long)]
        config: Option<PathBuf>,
    },
}

/// Does it. A running sidecar is not needed and not asked.
pub(super) fn notify(order: Notify) -> ExitCode {
    let Notify::Test { channel, config } = order;
    let config = match run::configured(config) {
        Ok(config) => config,
        Err(problem) => {
            complain(&problem);
            return ExitCode::from(2);
        }
    };
    let channels = Channels::new(&config);
    let known = ChannelName::new(&channel).ok().filter(|name| channels.kind(name).is_some());
    let Some(name) = known else {
        let names: Vec<&str> = channels.names().map(ChannelName::as_str).collect();
        let known = if names.is_empty() { "there are none".to_owned() } else { names.join(", ") };
        complain(&format!(
            "no channel is named {channel:?} ({known}); write [notify.{channel}] or another name"
        ));
        return ExitCode::from(2);
    };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("the runtime cannot start: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let instance = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let came = runtime.block_on(async {
        let sender = Sender::new(Arc::new(channels), PATIENCE);
        sender.test(&name, &instance).await
    });
    match came {
        Ok(receipt) => {
            say(&receipt.to_string());
            ExitCode::SUCCESS
        }
        Err(error) => {
            let hint = if error.permanent { "" } else { " (it may pass: a message would be sent again)" };
            complain(&format!("{channel} told nobody: {error}{hint}"));
            ExitCode::FAILURE
        }
    }
}
