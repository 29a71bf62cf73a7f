//! Ways to tell people: `[notify.<name>]`.
//!
//! Secrets come from files and are never part of what is shown. An address that is itself a secret (Slack's)
//! comes from a file too.

mod channel;
mod written;

pub use channel::{Channel, ChannelKind, ChannelType, Hidden, Mail, MailTls, SlackTo, WebUrl};
pub use written::NotifyFile;

#[cfg(test)]
mod tests;
