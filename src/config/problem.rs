//! What is wrong with a config, where, and what to write instead. All problems are told at once.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;
use toml::de::{DeTable, DeValue};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Such as `upstreams.billing.breaker.open_for`; empty for syntax.
    pub path: String,
    /// From 1; 0 when it is not in the file (an environment variable).
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong, and what to write instead.
    pub message: String,
    #[serde(skip)]
    #[schema(ignore)]
    span: Option<Range<usize>>,
}

/// Why a config cannot run.
#[derive(Clone, Debug)]
pub struct Problems {
    /// At least one.
    pub all: Vec<Problem>,
    text: String,
    source: String,
}

impl Problems {
    /// One problem that has no place in a text.
    pub fn single(message: &str) -> Self {
        let problem =
            Problem { path: String::new(), line: 0, column: 0, message: message.to_owned(), span: None };
        Self { all: vec![problem], text: String::new(), source: "the config".to_owned() }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.all.len();
        writeln!(f, "{} cannot run: {n} problem{}", self.source, if n == 1 { "" } else { "s" })?;
        let renderer = Renderer::plain();
        for problem in &self.all {
            let title = if problem.path.is_empty() {
                problem.message.clone()
            } else {
                format!("{}: {}", problem.path, problem.message)
            };
            match &problem.span {
                Some(span) => {
                    let snippet = Snippet::source(self.text.as_str())
                        .path(self.source.as_str())
                        .annotation(AnnotationKind::Primary.span(span.clone()));
                    let report = [Level::ERROR.primary_title(title).element(snippet)];
                    writeln!(f, "{}", renderer.render(&report))?;
                }
                None => writeln!(f, "error: {title}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Members of lists that were taken out: those behind them have moved up.
#[derive(Default)]
struct Gone(Vec<(String, usize)>);

impl Gone {
    fn add(&mut self, path: &str) {
        let (list, last) = path.rsplit_once('.').unwrap_or(("", path));
        if let Ok(at) = last.parse() {
            self.0.push((list.to_owned(), at));
        }
    }

    /// The path as it stands in the file.
    fn written(&self, path: &str) -> String {
        let mut now = String::new();
        let mut file: Vec<String> = Vec::new();
        for part in path.split('.') {
            let moved = part.parse::<usize>().map(|at| {
                let of_list = self.0.iter().filter(|(list, _)| *list == now);
                of_list.rev().fold(at, |at, (_, gone)| if *gone <= at { at + 1 } else { at }).to_string()
            });
            file.push(moved.unwrap_or_else(|_| part.to_owned()));
            now = if now.is_empty() { part.to_owned() } else { format!("{now}.{part}") };
        }
        file.join(".")
    }
}

/// Gathers problems while a config is read.
pub struct Collector<'a> {
    text: &'a str,
    all: Vec<Problem>,
    /// Paths of what was written and not understood.
    misread: Vec<String>,
    gone: Gone,
}

impl<'a> Collector<'a> {
    /// For a file's text.
    pub fn new(text: &'a str) -> Self {
        Self { text, all: Vec::new(), misread: Vec::new(), gone: Gone::default() }
    }

    /// What is written at `path` was noted as a problem and is left out: what is missed there from now on is no problem of
    /// its own.
    pub(super) fn left_out(&mut self, path: &str) {
        self.misread(path);
        self.gone.add(path);
    }

    /// What should stand at `path` is written under another key.
    pub(super) fn misread(&mut self, path: &str) {
        self.misread.push(self.gone.written(path));
    }

    /// Notes a problem at a path.
    pub fn add(&mut self, path: &str, message: impl fmt::Display) {
        let path = &self.gone.written(path);
        let within = |misread: &String| {
            misread.strip_prefix(path.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        if self.misread.iter().any(within) {
            return;
        }
        let span = find(self.text, path);
        self.note(path, message.to_string(), span);
    }

    /// Notes a problem at a place in the text.
    pub fn at(&mut self, message: &str, span: Option<Range<usize>>) {
        self.note("", message.to_owned(), span);
    }

    fn note(&mut self, path: &str, message: String, span: Option<Range<usize>>) {
        let (line, column) = span.as_ref().map_or((0, 0), |span| place(self.text, span.start));
        self.all.push(Problem { path: path.to_owned(), line, column, message, span });
    }

    /// Takes the value, or notes why there is none.
    pub fn take<T, E: fmt::Display>(&mut self, path: &str, read: Result<T, E>) -> Option<T> {
        match read {
            Ok(value) => Some(value),
            Err(error) => {
                self.add(path, error);
                None
            }
        }
    }

    /// Notes a value that is not within two bounds, both of them good.
    pub fn within<T: PartialOrd + fmt::Display>(&mut self, path: &str, value: T, least: T, most: T) -> T {
        if value < least || value > most {
            self.add(path, format!("{value} is not within {least} to {most}"));
        }
        value
    }

    /// Nothing wrong so far?
    pub fn is_clean(&self) -> bool {
        self.all.is_empty()
    }

    /// What is wrong, in the order of the file.
    pub fn finish(mut self, source: &str) -> Problems {
        self.all.sort_by_key(|problem| (problem.line, problem.column));
        Problems { all: self.all, text: self.text.to_owned(), source: source.to_owned() }
    }
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

/// Where the value of `path` (or its nearest written ancestor) stands.
fn find(text: &str, path: &str) -> Option<Range<usize>> {
    let root = DeTable::parse(text).ok()?;
    let mut span = None;
    let mut table = Some(root.get_ref());
    let mut list: Option<&toml::de::DeArray<'_>> = None;
    for part in path.split('.') {
        let next = match (table, list, part.parse::<usize>()) {
            (Some(table), _, _) => {
                table.iter().find(|(key, _)| key.get_ref() == part).map(|(_, value)| value)
            }
            (None, Some(list), Ok(at)) => list.get(at),
            (None, _, _) => None,
        };
        let Some(value) = next else { break };
        span = Some(value.span());
        table = if let DeValue::Table(inner) = value.get_ref() { Some(inner) } else { None };
        list = if let DeValue::Array(inner) = value.get_ref() { Some(inner) } else { None };
    }
    span
}

/// The known name that `wrong` was probably meant to be.
pub fn did_you_mean<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> String {
    let best = known.map(|name| (distance(wrong, name), name)).min();
    match best {
        Some((distance, name)) if distance <= 2.max(wrong.len() / 3) => format!("; did you mean {name:?}?"),
        Some(_) | None => String::new(),
    }
}

/// Edits between two texts (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = (diagonal + usize::from(x != *y)).min(above + 1).min(row[j] + 1);
            diagonal = above;
        }
    }
    row[b.len()]
}
