//! `[inbound]`: where a pager or a chat says back that somebody has taken an incident there.

use std::net::SocketAddr;

#[cfg(test)]
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::problem::Part;
use super::secret;
use crate::units::Text;

/// The table `[inbound]` as the operator writes it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct InboundFile {
    /// A listener of its own that answers nothing but signed posts to /pagerduty and /slack; absent: there is none.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub listen: Option<Text<SocketAddr>>,
    /// File with the signing secret of PagerDuty's webhook subscription.
    pub pagerduty_secret_file: Option<String>,
    /// File with the signing secret of the Slack app.
    pub slack_secret_file: Option<String>,
}

/// `[inbound]` as it runs.
#[derive(Clone, Debug)]
pub struct Inbound {
    pub listen: SocketAddr,
    /// Signs what PagerDuty posts; `None`: it posts nothing.
    pub pagerduty: Option<SecretString>,
    /// Signs what Slack posts; `None`: it posts nothing.
    pub slack: Option<SecretString>,
}

impl InboundFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<Inbound> {
        let mut read = |key: &str, file: Option<&String>| {
            at.take(key, file.map(|file| secret::read(file, "a signing secret", 16)).transpose()).flatten()
        };
        let pagerduty = read("pagerduty_secret_file", self.pagerduty_secret_file.as_ref());
        let slack = read("slack_secret_file", self.slack_secret_file.as_ref());
        let secrets = [&self.pagerduty_secret_file, &self.slack_secret_file];
        let signed = secrets.iter().any(|file| file.is_some());
        match (self.listen, signed) {
            (Some(_), false) => {
                at.add("listen", "nobody could post there: write pagerduty_secret_file or slack_secret_file");
            }
            (None, true) => at.add("listen", "is missing; write listen = \"0.0.0.0:9903\""),
            (Some(_), true) | (None, false) => {}
        }
        Some(Inbound { listen: self.listen?.0, pagerduty, slack })
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;

    const SMALLEST: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";

    #[test]
    fn it_is_off_without_a_word_and_takes_nothing_unsigned() {
        let of = |more: &str| load(&format!("{SMALLEST}{more}"), "a test", &[]);
        assert!(of("").expect("runs").inbound.is_none());
        let dir = tempfile::tempdir().expect("a directory");
        let (key, short) = (dir.path().join("key"), dir.path().join("short"));
        std::fs::write(&key, "0123456789abcdef").expect("writes");
        std::fs::write(&short, "0123").expect("writes");
        let both = format!("[inbound]\nlisten = \"127.0.0.1:9903\"\npagerduty_secret_file = {key:?}\n");
        let inbound = of(&both).expect("runs").inbound.expect("on");
        assert!(inbound.pagerduty.is_some() && inbound.slack.is_none());
        for (more, wanted) in [
            ("listen = \"127.0.0.1:9903\"".to_owned(), "write pagerduty_secret_file or slack_secret_file"),
            (format!("slack_secret_file = {key:?}"), "write listen = "),
            (format!("listen = \"127.0.0.1:9903\"\nslack_secret_file = {short:?}"), "at least 16 characters"),
            (format!("listen = \"127.0.0.1:9901\"\nslack_secret_file = {key:?}"), "taken by"),
        ] {
            let problems = of(&format!("[inbound]\n{more}\n")).expect_err("cannot run");
            let told: Vec<&str> = problems.all.iter().map(|problem| problem.message.as_str()).collect();
            assert!(told.len() == 1 && told[0].contains(wanted), "{told:?}");
        }
    }
}
