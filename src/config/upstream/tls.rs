//! `tls = true` or `tls = { … }`: TLS towards an upstream.

use std::path::PathBuf;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::problem::Part;

/// `tls = true` or `tls = { … }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(untagged, expecting = "expected true, false or a table { server_name = \"…\", ca_file = \"…\" }")]
pub enum ClientTlsFile {
    /// On with the defaults, or off.
    Switch(bool),
    /// On, with the keys of the table.
    Table(ClientTlsTable),
}

/// `tls = { … }`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClientTlsTable {
    /// The name to verify; the endpoint's host when absent.
    pub server_name: Option<String>,
    /// PEM file with roots that are trusted beside the system's.
    pub ca_file: Option<String>,
    /// No other roots than those of ca_file.
    pub only_ca_file: bool,
}

/// TLS towards an upstream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Name to verify and to send as SNI; the endpoint's host when `None`.
    pub server_name: Option<String>,
    /// Extra roots, PEM, beside the system's; read again when they change.
    pub ca_file: Option<PathBuf>,
    /// Trust the roots of `ca_file` alone, not the system's.
    pub only_ca_file: bool,
}

impl ClientTlsFile {
    pub(super) fn check(&self, mut at: Part<'_, '_>) -> Option<ClientTls> {
        match self {
            Self::Switch(on) => on.then(ClientTls::default),
            Self::Table(ClientTlsTable { server_name, ca_file, only_ca_file }) => {
                if *only_ca_file && ca_file.is_none() {
                    at.add("only_ca_file", "trusts nobody; write ca_file = \"PATH\", or take it out");
                }
                Some(ClientTls {
                    server_name: server_name.clone(),
                    ca_file: ca_file.as_ref().map(|file| at.readable("ca_file", file)),
                    only_ca_file: *only_ca_file,
                })
            }
        }
    }
}
