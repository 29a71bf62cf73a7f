//! The contract as it is served, and what the layers before the handlers read of it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The OpenAPI 3.1 document. A test holds it to what the handlers declare.
pub(super) const OPENAPI: &str = include_str!("../../config/openapi.json");

/// What an operation of the contract takes and answers with.
#[derive(Debug)]
pub(super) struct Operation {
    pub method: Method,
    /// With the prefix.
    pub path: &'static str,
    pub summary: Cow<'static, str>,
    /// The names of its query's parameters.
    pub queries: Vec<&'static str>,
    /// It answers as JSON or as text.
    pub has_forms: bool,
}

/// Read once, when something of it is asked for: what nobody asks takes no memory.
static OPERATIONS: LazyLock<Vec<Operation>> = LazyLock::new(|| {
    // The document is the one that the test reads.
    let document: Document<'_> = serde_json::from_str(OPENAPI).unwrap_or_default();
    let all = document.paths.into_iter().flat_map(|(path, item)| {
        let methods = [(Method::GET, item.get), (Method::POST, item.post), (Method::DELETE, item.delete)];
        methods.into_iter().filter_map(move |(method, said)| Some(said?.operation(method, path)))
    });
    all.collect()
});

/// All operations, in the order of their paths.
pub(super) fn operations() -> &'static [Operation] {
    &OPERATIONS
}

/// The operation of a path below the prefix.
pub(super) fn operation(method: &Method, path: &str) -> Option<&'static Operation> {
    operations().iter().find(|one| one.method == method && below(one.path) == path)
}

/// The path without the prefix that it was asked by.
pub(super) fn below(path: &str) -> &str {
    path.strip_prefix("/api/v2/sre").or_else(|| path.strip_prefix("/sre")).unwrap_or(path)
}

#[derive(Default, Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    paths: BTreeMap<&'a str, Item<'a>>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow)]
    get: Option<Said<'a>>,
    #[serde(borrow)]
    post: Option<Said<'a>>,
    #[serde(borrow)]
    delete: Option<Said<'a>>,
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    summary: Cow<'a, str>,
    #[serde(borrow, default)]
    parameters: Vec<Parameter<'a>>,
    #[serde(borrow)]
    responses: BTreeMap<&'a str, Answer<'a>>,
}

#[derive(Deserialize)]
struct Parameter<'a> {
    name: &'a str,
    r#in: &'a str,
}

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow, default)]
    content: BTreeMap<&'a str, IgnoredAny>,
}

impl Said<'static> {
    fn operation(self, method: Method, path: &'static str) -> Operation {
        let queries = self.parameters.iter().filter(|one| one.r#in == "query").map(|one| one.name).collect();
        let has_forms = self.responses.get("200").is_some_and(|answer| {
            answer.content.len() == 2
                && ["application/json", "text/plain"].iter().all(|kind| answer.content.contains_key(kind))
        });
        Operation { method, path, summary: self.summary, queries, has_forms }
    }
}
