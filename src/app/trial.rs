//! A config that was checked can run: what it names is tried before anything depends on it.

use crate::config::problem::Problems;
use crate::config::{self, Config};
use crate::net::tls;

/// Reads a text as [`config::load`] does and sets up the TLS that it asks for: what is in certificates, keys and roots, and
/// whether they go together.
pub fn load(text: &str, source: &str, env: &[(String, String)]) -> Result<Config, Problems> {
    let config = config::load(text, source, env)?;
    let found = wrong(&config);
    if found.is_empty() { Ok(config) } else { Err(Problems::of(text, source, found)) }
}

fn wrong(config: &Config) -> Vec<(String, String)> {
    tls::install_provider();
    let mut found = Vec::new();
    if let Some(files) = config.ingress.as_ref().and_then(|ingress| ingress.tls.as_ref())
        && let Err(error) = tls::Server::load(files)
    {
        found.push(("ingress.tls".to_owned(), error.to_string()));
    }
    for upstream in &config.upstreams {
        if let Some(client) = &upstream.tls
            && let Err(error) = tls::Client::new(client, upstream.protocol)
        {
            found.push((format!("upstreams.{}.tls", upstream.name), error.to_string()));
        }
    }
    found
}
