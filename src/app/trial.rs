//! A config that was checked can run: what it names is tried before anything depends on it.

use crate::config::problem::Problems;
use crate::config::{self, Config};
use crate::net::tls;
use crate::store;
use crate::upstream::guard;

/// Reads a text as [`config::load`] does, sets up the TLS that it asks for (what is in certificates, keys and roots, and
/// whether they go together) and looks for endpoints that are addresses of this very machine and process.
pub fn load(text: &str, source: &str, env: &[(String, String)]) -> Result<Config, Problems> {
    let config = config::load(text, source, env)?;
    let found = wrong(&config);
    if found.is_empty() { Ok(config) } else { Err(Problems::of(text, source, found)) }
}

fn wrong(config: &Config) -> Vec<(String, String)> {
    tls::install_provider();
    let mut found = config.leading_back(guard::is_own);
    if let Some(files) = config.ingress.as_ref().and_then(|ingress| ingress.tls.as_ref())
        && let Err(error) = tls::Server::load(files)
    {
        found.push(("ingress.tls".to_owned(), error.to_string()));
    }
    for upstream in &config.upstreams {
        if let Some(client) = &upstream.tls
            && let Err(error) = tls::TlsClient::new(client, upstream.protocol)
        {
            found.push((format!("upstreams.{}.tls", upstream.name), error.to_string()));
        }
    }
    if let Some(config) = &config.store
        && let Err(error) = store::check(config)
    {
        found.push(("store.url".to_owned(), error.to_string()));
    }
    found
}
