//! An OpenAPI document as far as it names routes: methods, templates of paths, and what its servers put in front of them.
//!
//! The document is the application's and may be anybody's: of whatever size, depth and nonsense. What is kept of it is bounded
//! before it is kept, and no text of it is told. Refuses to know schemas, parameters, and what an operation is called: another
//! version of the application gives the same endpoint the same name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::message::head::Method;
use crate::message::path::{is_sent, normal};
use crate::message::templates::Templates;

/// The longest document, in bytes: 4 MiB.
pub const MOST_BYTES: usize = 4 << 20;
/// Operations that are named; the ones behind them are not.
pub const MOST_OPERATIONS: usize = 500;
/// The longest path of an operation, in bytes.
const MOST_PATH: usize = 256;
/// Servers that are heeded.
const MOST_SERVERS: usize = 4;

/// Methods that a document can describe, as it writes them.
const METHODS: [(&str, Method); 8] = [
    ("get", Method::Get),
    ("head", Method::Head),
    ("post", Method::Post),
    ("put", Method::Put),
    ("patch", Method::Patch),
    ("delete", Method::Delete),
    ("options", Method::Options),
    ("trace", Method::Trace),
];

/// An operation of the application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DocumentedOperation {
    pub method: Method,
    /// As [`Templates`] reads it, without what a server puts in front.
    pub template: Arc<str>,
}

impl DocumentedOperation {
    /// As metrics label it: `GET /bookings/{id}`.
    pub fn label(&self) -> String {
        format!("{} {}", self.method.label(), self.template)
    }
}

/// What a document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// At most [`MOST_OPERATIONS`], in the order of the document.
    pub operations: Vec<DocumentedOperation>,
    /// What may stand in front of each path, such as `/api/v1`: the paths of its servers.
    pub prefixes: Vec<String>,
    /// Operations whose path is no template of whole segments, or that another one takes.
    pub skipped: usize,
    /// Operations beyond [`MOST_OPERATIONS`].
    pub beyond: usize,
}

/// Why a document names nothing. The texts are for people and quote nothing of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    #[error("it is longer than 4 MiB")]
    TooLong,
    #[error("it is no JSON from line {line}, column {column} on")]
    NoJson { line: usize, column: usize },
    #[error("line {line}, column {column} is not what OpenAPI 3 has there")]
    NotSo { line: usize, column: usize },
    #[error("it says of no version 3 of OpenAPI that it is one (\"openapi\": \"3.1.0\")")]
    NoVersion,
    #[error("it has no \"paths\"")]
    NoPaths,
}

/// Reads a document.
pub fn read(bytes: &[u8]) -> Result<Document, DocumentError> {
    if bytes.len() > MOST_BYTES {
        return Err(DocumentError::TooLong);
    }
    let read: Written = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.is_data() {
            true => DocumentError::NotSo { line, column },
            false => DocumentError::NoJson { line, column },
        }
    })?;
    if !read.is_three {
        return Err(DocumentError::NoVersion);
    }
    let PathsFound { operations, skipped, beyond, .. } = read.paths.ok_or(DocumentError::NoPaths)?;
    let prefixes = read.servers.iter().filter_map(|url| prefix(url)).fold(Vec::new(), |mut all, one| {
        if !all.contains(&one) {
            all.push(one);
        }
        all
    });
    Ok(Document { operations, prefixes, skipped, beyond })
}

/// The path of a server's URL, without the slash at its end; `None`: it puts nothing in front, or what no path has.
fn prefix(url: &str) -> Option<String> {
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.get(rest.find('/')?..)?,
        None => url,
    };
    let path = path.trim_end_matches('/');
    let is_literal = |c: char| is_sent(c) && !matches!(c, '{' | '}');
    let fits = path.starts_with('/') && path.len() <= MOST_PATH && path.chars().all(is_literal);
    (fits && *normal(path.as_bytes()) == *path.as_bytes()).then(|| path.to_owned())
}

/// The template of a path of the document; `None`: it is none of whole segments. Parameters get names that templates can have.
fn template(path: &str) -> Option<String> {
    let rest = path.strip_prefix('/').filter(|_| path.len() <= MOST_PATH)?;
    // In another spelling it is compared with no path.
    if *normal(path.as_bytes()) != *path.as_bytes() {
        return None;
    }
    let (mut template, mut names) = (String::with_capacity(path.len()), Vec::new());
    for segment in rest.split('/') {
        template.push('/');
        let inner = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}'));
        let Some(inner) = inner.filter(|inner| !inner.is_empty() && !inner.contains(['{', '}'])) else {
            if segment.contains(['{', '}']) {
                return None;
            }
            template.push_str(segment);
            continue;
        };
        let fit = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let mut name: String = inner.chars().map(fit).collect();
        if names.contains(&name) {
            name = format!("{name}_{}", names.len() + 1);
        }
        template.push_str(&format!("{{{name}}}"));
        names.push(name);
    }
    Some(template)
}

/// What is looked at of a document.
#[derive(Default)]
struct Written {
    is_three: bool,
    servers: Vec<String>,
    paths: Option<PathsFound>,
}

impl<'de> Deserialize<'de> for Written {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Written;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an OpenAPI document")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
                let mut written = Written::default();
                while let Some(key) = map.next_key::<String>()? {
                    match key.as_str() {
                        "openapi" => written.is_three = map.next_value::<String>()?.starts_with("3."),
                        "servers" => written.servers = map.next_value::<Servers>()?.0,
                        "paths" => written.paths = Some(map.next_value()?),
                        _ => drop(map.next_value::<IgnoredAny>()?),
                    }
                }
                Ok(written)
            }
        }
        reader.deserialize_map(Whole)
    }
}

/// The addresses of the first servers.
struct Servers(Vec<String>);

impl<'de> Deserialize<'de> for Servers {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Server {
            #[serde(default)]
            url: String,
        }
        struct All;
        impl<'de> Visitor<'de> for All {
            type Value = Servers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of servers")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Servers, A::Error> {
                let mut urls = Vec::new();
                while urls.len() < MOST_SERVERS {
                    let Some(Server { url }) = list.next_element()? else { return Ok(Servers(urls)) };
                    urls.push(url);
                }
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Servers(urls))
            }
        }
        reader.deserialize_seq(All)
    }
}

/// The operations of all paths, as they are found.
#[derive(Default)]
struct PathsFound {
    operations: Vec<DocumentedOperation>,
    skipped: usize,
    beyond: usize,
    /// Of each method, what is taken.
    taken: BTreeMap<Method, Templates<()>>,
}

impl PathsFound {
    fn add(&mut self, method: Method, template: Option<&Arc<str>>) {
        if self.operations.len() >= MOST_OPERATIONS {
            self.beyond += 1;
            return;
        }
        let free = |template: &&Arc<str>| self.taken.entry(method).or_default().insert(template, ()).is_ok();
        match template.filter(free) {
            Some(template) => {
                self.operations.push(DocumentedOperation { method, template: Arc::clone(template) });
            }
            None => self.skipped += 1,
        }
    }
}

impl<'de> Deserialize<'de> for PathsFound {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct AllPaths;
        impl<'de> Visitor<'de> for AllPaths {
            type Value = PathsFound;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("paths with their operations")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PathsFound, A::Error> {
                let mut found = PathsFound::default();
                while let Some(path) = map.next_key::<String>()? {
                    // `x-…` stands beside the paths.
                    if !path.starts_with('/') {
                        map.next_value::<IgnoredAny>()?;
                        continue;
                    }
                    let template = template(&path).map(Arc::from);
                    for method in map.next_value::<PathMethods>()?.0 {
                        found.add(method, template.as_ref());
                    }
                }
                Ok(found)
            }
        }
        reader.deserialize_map(AllPaths)
    }
}

/// The methods of one path, each once.
struct PathMethods(Vec<Method>);

impl<'de> Deserialize<'de> for PathMethods {
    fn deserialize<D: Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct OnePath;
        impl<'de> Visitor<'de> for OnePath {
            type Value = PathMethods;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the operations of a path")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PathMethods, A::Error> {
                let mut methods = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    map.next_value::<IgnoredAny>()?;
                    let method =
                        METHODS.iter().find(|(written, _)| *written == key).map(|(_, method)| *method);
                    methods.extend(method.filter(|method| !methods.contains(method)));
                }
                Ok(PathMethods(methods))
            }
        }
        reader.deserialize_map(OnePath)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn operations(document: &Document) -> Vec<String> {
        document.operations.iter().map(DocumentedOperation::label).collect()
    }

    #[test]
    fn operations_are_methods_of_paths_in_the_order_of_the_document() {
        let text = r#"{"openapi":"3.1.0","info":{"title":"a","x":[[[1]]]},"paths":{
            "/b/{item-id}/c/{item-id}":{"summary":"s","parameters":[],"get":{"operationId":"x"},"delete":{}},
            "x-internal":5,
            "/":{"post":{},"post":{},"connect":{},"query":{}},
            "/files/{name}.{format}":{"get":{},"put":{}},
            "/b/{other}/c/{one}":{"get":{}},
            "//b":{"get":{}},
            "/caf\u00e9":{"get":{}}
        },"servers":[{"url":"https://shop.example/api/v1/"},{"url":"/api/v1"},{"url":"/"},{"url":"{scheme}://x/y"},{"url":"/late"}]}"#;
        let read = read(text.as_bytes()).expect("a document");
        let all = ["GET /b/{item_id}/c/{item_id_2}", "DELETE /b/{item_id}/c/{item_id_2}", "POST /"];
        assert_eq!(operations(&read), all);
        assert_eq!((read.skipped, read.beyond), (5, 0));
        assert_eq!(read.prefixes, ["/api/v1", "/y"]);
    }

    #[test]
    fn what_is_no_document_is_told_by_its_place_and_not_by_its_words() {
        for (text, told) in [
            ("", "no JSON from line 1, column 0"),
            ("<html>", "no JSON from line 1, column 1"),
            ("{\"openapi\":\"3.1.0\",\"paths\":{}", "no JSON from line 1"),
            ("[]", "line 1, column 0 is not what OpenAPI 3 has there"),
            ("{\"openapi\":3,\"paths\":{}}", "is not what OpenAPI 3 has there"),
            ("{\"openapi\":\"3.0.3\",\"paths\":{\"/a\":null}}", "is not what OpenAPI 3 has there"),
            ("{\"openapi\":\"3.0.3\",\"paths\":[\"secret\"]}", "is not what OpenAPI 3 has there"),
            ("{\"swagger\":\"2.0\",\"paths\":{}}", "no version 3"),
            ("{\"openapi\":\"3.0.3\"}", "no \"paths\""),
        ] {
            let error = read(text.as_bytes()).expect_err(text).to_string();
            assert!(error.contains(told) && !error.contains("secret"), "{text}: {error}");
        }
        assert_eq!(read(&vec![b' '; MOST_BYTES + 1]), Err(DocumentError::TooLong));
    }

    #[test]
    fn what_is_deep_or_long_is_read_within_bounds() {
        let deep = format!("{{\"openapi\":\"3.0.0\",\"x\":{}{}}}", "[".repeat(1 << 20), "]".repeat(1 << 20));
        assert!(read(deep.as_bytes()).is_err());
        let paths: Vec<String> =
            (0..20_000).map(|nth| format!("\"/p{nth}/{{id}}\":{{\"get\":{{}},\"put\":{{}}}}")).collect();
        let text = format!("{{\"openapi\":\"3.0.0\",\"paths\":{{{}}}}}", paths.join(","));
        let all = read(text.as_bytes()).expect("a document");
        assert_eq!((all.operations.len(), all.beyond), (MOST_OPERATIONS, 40_000 - MOST_OPERATIONS));
        let long = format!(
            "{{\"openapi\":\"3.0.0\",\"paths\":{{\"/{}\":{{\"get\":{{}}}}}}}}",
            "a".repeat(MOST_PATH)
        );
        assert_eq!(read(long.as_bytes()).expect("a document").skipped, 1);
        let many =
            format!("{{\"openapi\":\"3.0.0\",\"paths\":{{}},\"servers\":[{}{{}}]}}", "{},".repeat(100_000));
        assert!(read(many.as_bytes()).expect("a document").prefixes.is_empty());
    }

    proptest! {
        #[test]
        fn whatever_is_read_is_bounded_and_can_be_matched(
            paths in prop::collection::vec(("\\PC{0,30}|(/(\\{[a-z_-]{0,4}\\}|[a-z{}%.]{0,5})){1,70}", 0_usize..9), 0..20),
            cut in 0_usize..400,
        ) {
            let items: Vec<String> = paths.iter().map(|(path, method)| {
                let method = METHODS.get(*method).map_or("x", |(name, _)| name);
                format!("{}:{{\"{method}\":{{}}}}", serde_json::Value::from(path.as_str()))
            }).collect();
            let text = format!("{{\"openapi\":\"3.1.0\",\"paths\":{{{}}}}}", items.join(","));
            let whole = read(text.as_bytes()).expect("a document");
            prop_assert!(whole.operations.len() + whole.skipped <= paths.len());
            for one in &whole.operations {
                prop_assert!(Templates::default().insert(&one.template, ()).is_ok(), "{}", one.template);
            }
            // Cut anywhere it is refused, or is what it was.
            let cut: String = text.chars().take(cut).collect();
            prop_assert!(cut == text || read(cut.as_bytes()).is_err());
        }
    }
}
