//! Answers as plain text: what the JSON says, as lines and tables, for eyes and `grep`.
//!
//! One renderer for all looks that answer in JSON: fields first, a line each, then a table for each list. It reads what the
//! handler has answered and knows no field of it; programs read the JSON.

use std::fmt;

use axum::body::{Body, to_bytes};
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::served::below;
use super::{request, served};
use crate::report::table::{plain, table};

/// The forms of an answer that has no other ones.
pub(super) const FORMS: [&str; 2] = ["json", "text"];
pub(super) const TEXT: &str = "text/plain";
/// What was not observed.
const NOTHING: &str = "–";

/// Does a look at the path answer in both forms?
fn has_forms(path: &str) -> bool {
    served::operation(&Method::GET, below(path)).is_some_and(|one| one.has_forms)
}

/// The layer that answers in the form that is asked for.
pub(super) async fn in_form(path: MatchedPath, mut request: Request, next: Next) -> Response {
    if request.method() != Method::GET || !has_forms(path.as_str()) {
        return next.run(request).await;
    }
    let said = take_format(request.uri_mut());
    if let Err(refused) = request::word("format", said.as_deref(), &FORMS) {
        return refused.into_response();
    }
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let first = accept.and_then(|accept| accept.split([',', ';']).next()).map(str::trim);
    let text = said.as_deref().map_or(first == Some(TEXT), |said| said == "text");
    if text {
        // Tags are of the JSON.
        request.headers_mut().remove(header::IF_NONE_MATCH);
    }
    let mut answer = next.run(request).await;
    if text {
        answer = as_text(answer).await;
    }
    answer.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    answer
}

/// The value of `format`, which no handler knows: it is taken out of the query.
fn take_format(uri: &mut Uri) -> Option<String> {
    let query = uri.query()?;
    let is_ours = |pair: &&str| pair.split('=').next() == Some("format");
    let said = query.split('&').find(is_ours)?;
    let said = said.split_once('=').map_or("", |(_, value)| value).to_owned();
    let rest: Vec<&str> = query.split('&').filter(|pair| !is_ours(pair)).collect();
    let path = match rest.is_empty() {
        true => uri.path().to_owned(),
        false => format!("{}?{}", uri.path(), rest.join("&")),
    };
    // Parts of what was a target are one.
    if let Ok(without) = path.parse() {
        *uri = without;
    }
    Some(said)
}

/// An answer in JSON as text; any other as it is.
async fn as_text(answer: Response) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if !answer.status().is_success() || kind != Some("application/json") {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    // It was made in memory, whole.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else {
        return super::error::ApiError::Broken.into_response();
    };
    let Ok(Shown::Fields(fields)) = serde_json::from_slice(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    for name in [header::CONTENT_LENGTH, header::ETAG] {
        parts.headers.remove(name);
    }
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    parts.headers.insert(header::CONTENT_TYPE, kind);
    parts.headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Response::from_parts(parts, Body::from(render(&fields)))
}

/// A value of an answer, its fields in their order.
#[derive(Debug)]
enum Shown {
    Leaf(String),
    List(Vec<Shown>),
    Fields(Vec<(String, Shown)>),
}

impl<'de> Deserialize<'de> for Shown {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ShownVisitor)
    }
}

struct ShownVisitor;

impl<'de> Visitor<'de> for ShownVisitor {
    type Value = Shown;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Shown, E> {
        Ok(Shown::Leaf(if value { "yes" } else { "no" }.to_owned()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Shown, E> {
        Ok(Shown::Leaf(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Shown, E> {
        Ok(Shown::Leaf(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Shown, E> {
        Ok(Shown::Leaf(value.to_string()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Shown, E> {
        Ok(Shown::Leaf(plain(value)))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Shown, E> {
        Ok(Shown::Leaf(NOTHING.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Shown, A::Error> {
        let mut all = Vec::new();
        while let Some(one) = from.next_element()? {
            all.push(one);
        }
        Ok(Shown::List(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Shown, A::Error> {
        let mut all = Vec::new();
        while let Some((key, value)) = from.next_entry::<String, Shown>()? {
            all.push((plain(&key), value));
        }
        Ok(Shown::Fields(all))
    }
}

/// Fields of an answer or of a row, each with its path, and the lists among them that are tables of their own.
#[derive(Default)]
struct Flat<'a> {
    fields: Vec<(String, String)>,
    tables: Vec<(String, &'a [Shown])>,
}

impl<'a> Flat<'a> {
    fn of(fields: &'a [(String, Shown)]) -> Self {
        let mut flat = Self::default();
        flat.add("", fields);
        flat
    }

    fn add(&mut self, above: &str, fields: &'a [(String, Shown)]) {
        for (name, value) in fields {
            let path = crate::config::origin::below(above, name);
            match value {
                Shown::Leaf(text) => self.fields.push((path, text.clone())),
                Shown::Fields(inner) => self.add(&path, inner),
                Shown::List(all) => match leaves(all) {
                    Some(texts) => self.fields.push((path, texts)),
                    None => self.tables.push((path, all)),
                },
            }
        }
    }
}

/// Members without members of their own, in a line.
fn leaves(all: &[Shown]) -> Option<String> {
    let text = |one: &Shown| match one {
        Shown::Leaf(text) => Some(text.clone()),
        Shown::List(_) | Shown::Fields(_) => None,
    };
    let texts: Option<Vec<String>> = all.iter().map(text).collect();
    texts.map(|texts| if texts.is_empty() { "none".to_owned() } else { texts.join(", ") })
}

/// A row by its columns; of a list within it, how long it is.
fn row(one: &Shown) -> Vec<(String, String)> {
    match one {
        Shown::Leaf(text) => vec![("value".to_owned(), text.clone())],
        Shown::List(all) => {
            let text = leaves(all).unwrap_or_else(|| format!("{} in all", all.len()));
            vec![("value".to_owned(), text)]
        }
        Shown::Fields(fields) => {
            let Flat { fields, tables } = Flat::of(fields);
            let counts = tables.into_iter().map(|(path, all)| (path, format!("{} in all", all.len())));
            fields.into_iter().chain(counts).collect()
        }
    }
}

/// What all rows have not observed has no column.
fn columns(rows: &[Vec<(String, String)>]) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for (name, text) in rows.iter().flatten() {
        if text != NOTHING && !columns.contains(name) {
            columns.push(name.clone());
        }
    }
    columns
}

fn listed(path: &str, all: &[Shown]) -> String {
    let rows: Vec<_> = all.iter().map(row).collect();
    let columns = columns(&rows);
    let cell = |row: &Vec<(String, String)>, column: &String| {
        let found = row.iter().find(|(name, _)| name == column);
        found.map_or_else(|| NOTHING.to_owned(), |(_, text)| text.clone())
    };
    let cells: Vec<Vec<String>> =
        rows.iter().map(|row| columns.iter().map(|column| cell(row, column)).collect()).collect();
    format!("\n{path}: {}\n{}\n", all.len(), table(&columns, &cells))
}

/// The answer as text: a line for each field, then a table for each list.
fn render(fields: &[(String, Shown)]) -> String {
    let Flat { fields, tables } = Flat::of(fields);
    let widest = fields.iter().map(|(path, _)| path.chars().count()).max().unwrap_or_default();
    let line =
        |(path, text): &(String, String)| format!("{path:<widest$}  {text}").trim_end().to_owned() + "\n";
    let lines: String = fields.iter().map(line).collect();
    tables.into_iter().fold(lines, |told, (path, all)| told + &listed(&path, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> String {
        match serde_json::from_str(json).expect("JSON") {
            Shown::Fields(fields) => render(&fields),
            other @ (Shown::Leaf(_) | Shown::List(_)) => panic!("{other:?}"),
        }
    }

    #[test]
    fn fields_come_first_in_their_order_and_lists_are_tables() {
        let json = r#"{"status": "healthy", "age_seconds": 0.5, "sidecar": {"ready": true, "tags": ["a", "b"]},
            "breakers": [{"name": "stripe", "state": "open", "hold": {"by": "ann"}, "why": null, "moves": [{}, {}]},
                         {"name": "b", "state": "closed", "hold": null, "why": null, "moves": []}], "rules": [], "n": null}"#;
        let lines = [
            "status         healthy",
            "age_seconds    0.5",
            "sidecar.ready  yes",
            "sidecar.tags   a, b",
            "rules          none",
            "n              –",
            "",
            "breakers: 2",
            "NAME    STATE   HOLD.BY  MOVES",
            "stripe  open    ann      2 in all",
            "b       closed  –        none",
        ];
        assert_eq!(told(json).lines().collect::<Vec<_>>(), lines);
    }

    #[test]
    fn nothing_of_a_title_steers_a_terminal_or_begins_a_line() {
        let text = told(r#"{"incidents": [{"title": "a\n\u001b[31mb\u202e", "id": "x"}]}"#);
        assert_eq!(text, "\nincidents: 1\nTITLE      ID\na  [31mb\u{fffd}  x\n");
    }

    #[test]
    fn the_format_is_taken_out_of_the_query_and_the_rest_stays() {
        for (before, after, said) in [
            ("/a?format=text", "/a", Some("text")),
            ("/a?limit=1&format=json&all=1", "/a?limit=1&all=1", Some("json")),
            ("/a?format", "/a", Some("")),
            ("/a?formats=1", "/a?formats=1", None),
            ("/a", "/a", None),
        ] {
            let mut uri: Uri = before.parse().expect("a target");
            assert_eq!(take_format(&mut uri).as_deref(), said, "{before}");
            assert_eq!(uri.to_string(), after);
        }
    }

    #[test]
    fn each_look_that_answers_in_json_alone_has_a_text_too() {
        for path in
            ["/circuit-breakers", "/incidents", "/health/comprehensive", "/upstreams/{name}", "/audit"]
        {
            assert!(has_forms(path), "{path}");
        }
        for path in ["/incidents/stream", "/latency.hlog", "/drills/{id}", "/reports/sla"] {
            assert!(!has_forms(path), "{path} has forms of its own");
        }
    }
}
