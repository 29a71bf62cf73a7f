//! `[admin]`: the operator's port.

use std::net::SocketAddr;

#[cfg(test)]
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::channels::{Hidden, WebUrl};
use super::hosts::{self, Wild};
use super::problem::Part;
use super::secret;
use crate::units::Text;

/// The table `[admin]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct AdminFile {
    /// Address and port of the admin listener, such as `127.0.0.1:9901`.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub listen: Text<SocketAddr>,
    /// A second listener, for probes and /metrics alone, without a token.
    #[cfg_attr(test, schemars(extend("x-restart" = true)))]
    pub probes: Option<Text<SocketAddr>>,
    /// File with the bearer token.
    pub token_file: Option<String>,
    /// Host names that may stand in Host and Origin, beside loopback and listen.
    pub hosts: Vec<String>,
    /// Where people reach this port, for links and commands in messages; absent: messages say how it is
    /// reached beside the sidecar.
    pub public_url: Option<String>,
}

impl Default for AdminFile {
    fn default() -> Self {
        let listen = Text(SocketAddr::from(([127, 0, 0, 1], 9_901)));
        Self { listen, probes: None, token_file: None, hosts: Vec::new(), public_url: None }
    }
}

/// `[admin]` as it runs.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where the operator's API listens.
    pub listen: SocketAddr,
    /// Where probes and scrapers are answered too, without a token.
    pub probes: Option<SocketAddr>,
    /// Bearer token; always present when `listen` is not loopback.
    pub token: Option<SecretString>,
    /// Host names (besides loopback names and `listen` itself) that may stand in `Host` and `Origin`.
    pub hosts: Vec<String>,
    /// The file with the token, as it was written.
    pub token_file: Option<String>,
    /// Where people reach this port: scheme, host, port and path, without a slash at the end.
    pub public_url: Option<String>,
}

impl AdminFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> AdminConfig {
        let listen = self.listen.0;
        if !listen.ip().is_loopback() && self.token_file.is_none() {
            let told = "is reachable from outside: write admin.token_file, or listen on 127.0.0.1";
            at.add("listen", format!("{listen} {told}"));
        }
        let read =
            |(nth, host): (usize, &String)| at.take(&format!("hosts.{nth}"), hosts::read(host, Wild::None));
        let hosts: Vec<_> = self.hosts.iter().enumerate().map(read).collect();
        let token = self.token_file.as_deref().map(|file| secret::read(file, "a token", 16));
        let public_url = at.take("public_url", self.public_url.as_deref().map(public).transpose());
        AdminConfig {
            listen,
            probes: self.probes.map(|probes| probes.0),
            token: token.and_then(|token| at.take("token_file", token)),
            hosts: hosts.into_iter().flatten().collect(),
            token_file: self.token_file.clone(),
            public_url: public_url.flatten(),
        }
    }
}

/// An address that can be continued by a path.
fn public(text: &str) -> Result<String, String> {
    WebUrl::read(text, Hidden::No)?;
    if text.contains(['?', '#', '"', '\'', '<', '>', '`', '|', '\\']) || text.contains(char::is_whitespace) {
        return Err(format!(
            "{text:?} cannot be continued by a path; write \"https://strop.example\", or with a path of its own"
        ));
    }
    Ok(text.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::public;

    #[test]
    fn an_address_for_people_is_one_that_a_path_can_follow() {
        assert_eq!(public("https://strop.example/ops/"), Ok("https://strop.example/ops".to_owned()));
        assert_eq!(public("http://127.0.0.1:9901"), Ok("http://127.0.0.1:9901".to_owned()));
        for bad in [
            "strop.example",
            "https://a.example/?x=1",
            "ftp://a.example",
            "https://me:pw@a.example",
            "https://a/'x",
        ] {
            assert!(
                public(bad).expect_err("refused").contains("write \"https://") || bad.contains('@'),
                "{bad}"
            );
        }
    }
}
