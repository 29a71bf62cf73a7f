//! Does a route take this host and path?
//!
//! [`RouteTemplates`] is made once per reload and asked once per request, without allocation.

use std::sync::Arc;

use super::RouteEntry;
use crate::config::Route;
use crate::message::templates::Templates;
use crate::telemetry::event::Event;

/// Positions of routes with a template, by host.
#[derive(Clone, Default)]
pub struct RouteTemplates {
    any_host: Templates<usize>,
    /// Templates by host; host names are in lower case.
    hosts: Vec<(String, Templates<usize>)>,
}

impl RouteTemplates {
    /// Those of `routes` that have a template.
    pub fn of(routes: &[Arc<RouteEntry>]) -> Self {
        let mut all = Self::default();
        for (at, entry) in routes.iter().enumerate() {
            if let Some(template) = entry.config.path.template()
                && let Err(error) = all.of_host(entry.config.host.as_deref()).insert(template, at)
            {
                // Not after the check of the config.
                Event::ConfigWarning { problem: &format!("route {}: {error}", entry.config.name) }.tell();
            }
        }
        all
    }

    fn of_host(&mut self, host: Option<&str>) -> &mut Templates<usize> {
        let Some(host) = host else { return &mut self.any_host };
        let at = self.hosts.iter().position(|(own, _)| own == host).unwrap_or_else(|| {
            self.hosts.push((host.to_owned(), Templates::default()));
            self.hosts.len() - 1
        });
        &mut self.hosts[at].1
    }

    /// The position of the first route whose template matches.
    pub fn find(&self, host: &str, path: &[u8]) -> Option<usize> {
        let own = self.hosts.iter().find(|(own, _)| own.eq_ignore_ascii_case(host));
        let own = own.and_then(|(_, templates)| templates.find(path));
        let any = self.any_host.find(path);
        own.into_iter().chain(any).min().copied()
    }
}

/// Has the path this route's prefix, and is the host one of its own?
pub fn has_prefix(route: &Route, host: &str, path: &[u8]) -> bool {
    let own = || route.host.as_deref().is_none_or(|own| own.eq_ignore_ascii_case(host));
    route.path.prefix().is_some_and(|prefix| is_below(path, prefix.as_bytes())) && own()
}

/// Is `path` the prefix itself or below it, segment by segment?
fn is_below(path: &[u8], prefix: &[u8]) -> bool {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        || prefix.is_empty()
}

#[cfg(test)]
mod tests {
    use super::is_below;

    #[test]
    fn a_prefix_ends_at_a_segment() {
        assert!(is_below(b"/pay", b"/pay"));
        assert!(is_below(b"/pay/1", b"/pay"));
        assert!(is_below(b"/pay/1", b"/pay/"));
        assert!(is_below(b"/", b"/"));
        assert!(is_below(b"/anything", b"/"));
        assert!(is_below(b"*", b"/"));
        assert!(!is_below(b"/payments", b"/pay"));
    }
}
