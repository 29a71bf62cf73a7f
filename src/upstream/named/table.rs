//! Which named operation is a request? Made once per document and reload, asked without a lock and without allocation.

use std::sync::Arc;

use super::document::DocumentedOperation;
use crate::message::head::Method;
use crate::message::templates::Templates;
use crate::names::RouteName;
use crate::upstream::RouteEntry;

/// An operation of the application and its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedOperation {
    pub operation: DocumentedOperation,
    pub name: RouteName,
}

impl NamedOperation {
    pub(super) fn new(operation: &DocumentedOperation, name: &RouteName) -> Self {
        Self { operation: operation.clone(), name: name.clone() }
    }
}

/// The names that are in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplicationNames {
    pub operations: Vec<NamedOperation>,
    /// What may stand in front of each path.
    pub prefixes: Vec<String>,
}

/// Named operations as they run.
#[derive(Default)]
pub struct NamedRoutes {
    /// A tree for each method that is documented.
    methods: Vec<(Method, Templates<usize>)>,
    entries: Vec<Arc<RouteEntry>>,
}

impl NamedRoutes {
    /// With these entries, each of the operation beside it.
    pub fn of<'a>(
        named: impl Iterator<Item = (&'a NamedOperation, Arc<RouteEntry>)>,
        prefixes: &[String],
    ) -> Self {
        let mut all = Self::default();
        let mut templates = Vec::new();
        for (operation, entry) in named {
            templates.push((&operation.operation, all.entries.len()));
            all.entries.push(entry);
        }
        // Paths as the document has them come first: what stands in front of others takes none of them.
        for prefix in std::iter::once("").chain(prefixes.iter().map(String::as_str)) {
            for (DocumentedOperation { method, template }, at) in &templates {
                let written = format!("{prefix}{template}");
                // Refused is what another operation takes, or what has become too long.
                let _ = all.of_method(*method).insert(&written, *at);
            }
        }
        all
    }

    fn of_method(&mut self, method: Method) -> &mut Templates<usize> {
        let at = self.methods.iter().position(|(own, _)| *own == method).unwrap_or_else(|| {
            self.methods.push((method, Templates::default()));
            self.methods.len() - 1
        });
        &mut self.methods[at].1
    }

    /// The entry of a request; `path`: in its one spelling, without the query.
    pub fn find(&self, method: Method, path: &[u8]) -> Option<&Arc<RouteEntry>> {
        let (_, templates) = self.methods.iter().find(|(own, _)| *own == method)?;
        self.entries.get(*templates.find(path)?)
    }

    /// All of them.
    pub fn entries(&self) -> &[Arc<RouteEntry>] {
        &self.entries
    }
}
