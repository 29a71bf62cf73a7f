//! `[heartbeat]`: an address outside that is called as long as all is watched.

use std::path::PathBuf;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::channels::WebUrl;
use super::problem::Part;
use crate::units::Text;

/// The table `[heartbeat]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct HeartbeatFile {
    /// Called by GET while this sidecar looks at everything and people can be told; absent: nobody is called.
    pub url: Option<String>,
    /// File with the address, where it is itself a secret.
    pub url_file: Option<String>,
    /// Time from one call to the next.
    pub every: Text<Duration>,
    /// Extra roots, PEM, beside the system's.
    pub ca_file: Option<String>,
}

/// A minute is the shortest period that healthchecks.io can wait for.
impl Default for HeartbeatFile {
    fn default() -> Self {
        Self { url: None, url_file: None, every: Text(Duration::from_secs(60)), ca_file: None }
    }
}

/// Who is called while all is watched.
#[derive(Clone, Debug)]
pub struct HeartbeatConfig {
    pub url: WebUrl,
    /// Time from one call to the next.
    pub every: Duration,
    /// Extra roots, PEM, beside the system's.
    pub ca_file: Option<PathBuf>,
}

impl HeartbeatFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<HeartbeatConfig> {
        let every = at.lasts("every", self.every, 1, 3_600);
        let ca_file = self.ca_file.as_ref().map(|file| at.readable("ca_file", file));
        let url = WebUrl::of_keys(&mut at, self.url.as_deref(), self.url_file.as_deref())?;
        Some(HeartbeatConfig { url, every, ca_file })
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    const SMALLEST: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";

    #[test]
    fn an_address_is_called_each_minute_where_one_is_written() {
        let of = |more: &str| load(&format!("{SMALLEST}{more}"), "a test", &[]).expect("runs").heartbeat;
        assert!(of("").is_none() && of("[heartbeat]\nevery = \"5m\"\n").is_none());
        let beat = of("[heartbeat]\nurl = \"https://hc.example/id?a=secret\"\n").expect("on");
        assert_eq!(
            (beat.every, beat.url.to_string().as_str()),
            (Duration::from_secs(60), "https://hc.example/id?…")
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("url");
        std::fs::write(&file, "hc.example/secret").expect("writes");
        for (more, wanted) in [
            ("url = \"https://a.example/\"\nurl_file = \"b\"".to_owned(), "take out url or url_file"),
            ("url = \"a.example\"".to_owned(), "write \"https://host/path\""),
            (format!("url_file = {file:?}"), "what it holds is not an address"),
            ("url = \"https://a.example/\"\nevery = \"100ms\"".to_owned(), "1s"),
        ] {
            let problems =
                load(&format!("{SMALLEST}[heartbeat]\n{more}\n"), "a test", &[]).expect_err("cannot run");
            let told =
                problems.all.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n");
            assert!(told.contains(wanted) && !told.contains("secret"), "{told}");
        }
    }
}
