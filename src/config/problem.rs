//! What is wrong with a config, where, and what to write instead. All problems are told at once.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;
use toml::de::{DeTable, DeValue};

use crate::units::{Text, Written as _};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(utoipa::ToSchema))]
pub struct Problem {
    /// Such as `upstreams.billing.breaker.open_for`; empty for syntax.
    pub path: String,
    /// From 1; 0: what is wrong was written in a variable.
    pub line: usize,
    /// From 1; 0 as well.
    pub column: usize,
    /// What it was written in, when that is not the file: `STROP__LATENCY__SLOW`, `--backend`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// What is wrong, and what to write instead.
    pub message: String,
    #[serde(skip)]
    #[cfg_attr(test, schema(ignore))]
    shown: Shown,
}

/// What is shown of where a problem stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Shown {
    /// Nothing: there is no text.
    Nothing,
    /// A part of the file.
    File(Range<usize>),
    /// What a variable says.
    Variable(String),
}

/// Why a config cannot run.
#[derive(Clone, Debug)]
pub struct Problems {
    /// In the order of the file; never empty.
    pub all: Vec<Problem>,
    text: String,
    source: String,
}

impl Problems {
    /// One problem that has no place in a text.
    pub fn single(message: &str) -> Self {
        let problem = Problem {
            path: String::new(),
            line: 0,
            column: 0,
            variable: None,
            message: message.to_owned(),
            shown: Shown::Nothing,
        };
        Self { all: vec![problem], text: String::new(), source: "the config".to_owned() }
    }
}

impl Problems {
    /// What was found wrong of a text that could be read: paths and messages.
    pub fn of(text: &str, source: &str, found: Vec<(String, String)>) -> Self {
        let mut problems = Collector::new(text);
        found.iter().for_each(|(path, message)| problems.add(path, message));
        problems.finish(source)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.all.len();
        writeln!(f, "{} cannot run: {n} problem{}", self.source, if n == 1 { "" } else { "s" })?;
        let renderer = Renderer::plain();
        let text = masked(&self.text);
        for problem in &self.all {
            let title = if problem.path.is_empty() {
                problem.message.clone()
            } else {
                format!("{}: {}", problem.path, problem.message)
            };
            let (text, from, span) = match (&problem.shown, &problem.variable) {
                (Shown::File(span), _) => (&text, self.source.as_str(), span.clone()),
                (Shown::Variable(value), Some(name)) => (value, name.as_str(), 0..value.len()),
                (Shown::Nothing | Shown::Variable(_), _) => {
                    writeln!(f, "error: {title}")?;
                    continue;
                }
            };
            let marked = AnnotationKind::Primary.span(span);
            let snippet = Snippet::source(text.as_str()).path(from).annotation(marked);
            writeln!(f, "{}", renderer.render(&[Level::ERROR.primary_title(title).element(snippet)]))?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Members of lists that were taken out: those behind them have moved up.
#[derive(Default)]
struct RemovedMembers(Vec<(String, usize)>);

impl RemovedMembers {
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
    gone: RemovedMembers,
    /// What was not written in the file: path, name, value.
    variables: Vec<(String, String, String)>,
}

impl<'a> Collector<'a> {
    /// For a file's text.
    pub fn new(text: &'a str) -> Self {
        Self {
            text,
            all: Vec::new(),
            misread: Vec::new(),
            gone: RemovedMembers::default(),
            variables: Vec::new(),
        }
    }

    /// What stands at `path` was written in a variable.
    pub(super) fn comes_from(&mut self, path: &str, name: &str, value: &str) {
        self.variables.push((path.to_owned(), name.to_owned(), value.to_owned()));
    }

    /// What is wrong with a variable itself.
    pub(super) fn variable(&mut self, name: &str, value: &str, message: String) {
        let shown = Shown::Variable(masked(value));
        self.all.push(Problem {
            path: String::new(),
            line: 0,
            column: 0,
            variable: Some(name.to_owned()),
            message,
            shown,
        });
    }

    /// A table, for what is wrong in it.
    pub fn part(&mut self, path: impl Into<String>) -> Part<'_, 'a> {
        Part { path: path.into(), problems: self }
    }

    /// Marks `path` as left out because of a problem already noted: what is missed there from now on is
    /// no problem of its own.
    pub(super) fn left_out(&mut self, path: &str) {
        self.misread(path);
        self.gone.add(path);
    }

    /// What should stand at `path` is written under another key.
    pub(super) fn misread(&mut self, path: &str) {
        self.misread.push(self.gone.written(path));
    }

    /// Notes a problem at a path.
    fn add(&mut self, path: &str, message: impl fmt::Display) {
        let path = &self.gone.written(path);
        let member = |misread: &str| {
            misread.rsplit_once('.').is_some_and(|(list, nth)| list == path && nth.parse::<usize>().is_ok())
        };
        if self.misread.iter().any(|misread| misread == path || member(misread)) {
            return;
        }
        let message = masked(&message.to_string());
        let (span, exact) = find(self.text, path);
        let set = |(at, ..): &&(String, String, String)| is_within(path, at) || !exact && is_within(at, path);
        match self.variables.iter().rev().find(set) {
            Some((_, name, value)) => {
                let (variable, shown) = (Some(name.clone()), Shown::Variable(masked(value)));
                self.all.push(Problem {
                    path: path.to_owned(),
                    line: 0,
                    column: 0,
                    variable,
                    message,
                    shown,
                });
            }
            None => self.at(path, &message, span),
        }
    }

    /// Notes a problem at a place in the text; without one, at its beginning.
    pub(super) fn at(&mut self, path: &str, message: &str, span: Option<Range<usize>>) {
        let span = span.unwrap_or(0..self.text.lines().next().map_or(0, str::len));
        let (line, column) = place(self.text, span.start);
        let shown = Shown::File(span);
        self.all.push(Problem {
            path: path.to_owned(),
            line,
            column,
            variable: None,
            message: message.to_owned(),
            shown,
        });
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

/// Is `path` the same as `table` or below it?
fn is_within(path: &str, table: &str) -> bool {
    path.strip_prefix(table).is_some_and(|rest| table.is_empty() || rest.is_empty() || rest.starts_with('.'))
}

/// An hour in seconds, the unit of the bounds of [`Part::lasts`].
pub(super) const HOUR: u64 = 3_600;
pub(super) const DAY: u64 = 24 * HOUR;

/// One table of the file, for what is wrong in it. Keys are counted from there; "" is the table itself.
pub struct Part<'a, 't> {
    path: String,
    problems: &'a mut Collector<'t>,
}

impl<'t> Part<'_, 't> {
    fn path(&self, key: &str) -> String {
        match (self.path.as_str(), key) {
            (path, "") => path.to_owned(),
            ("", key) => key.to_owned(),
            (path, key) => format!("{path}.{key}"),
        }
    }

    /// A table in it.
    pub fn part(&mut self, key: &str) -> Part<'_, 't> {
        Part { path: self.path(key), problems: self.problems }
    }

    /// Notes a problem of the key `key`.
    pub fn add(&mut self, key: &str, message: impl fmt::Display) {
        self.problems.add(&self.path(key), message);
    }

    /// Takes the value, or notes why there is none.
    pub fn take<T, E: fmt::Display>(&mut self, key: &str, read: Result<T, E>) -> Option<T> {
        read.map_err(|error| self.add(key, error)).ok()
    }

    /// Notes a value that is not within two bounds, both of them good.
    pub fn within<T: PartialOrd + fmt::Display>(&mut self, key: &str, value: T, least: T, most: T) -> T {
        if value < least || value > most {
            self.add(key, format!("{value} is not within {least} to {most}"));
        }
        value
    }

    /// The same for a duration, with bounds in seconds.
    pub fn lasts(&mut self, key: &str, value: Text<Duration>, least: u64, most: u64) -> Duration {
        let (least, most) = (Duration::from_secs(least), Duration::from_secs(most));
        if value.0 < least || value.0 > most {
            let told = format!("{} is not within {} to {}", value.0.write(), least.write(), most.write());
            self.add(key, told);
        }
        value.0
    }

    /// Notes a file that cannot be read.
    pub fn readable(&mut self, key: &str, file: &str) -> PathBuf {
        if let Err(error) = crate::runtime::files::look(Path::new(file)) {
            self.add(key, format!("{file:?} cannot be read: {error}"));
        }
        PathBuf::from(file)
    }

    /// Notes a name that none of `known` is: names of a `what`, which is written in `[table.<name>]`.
    pub fn known(&mut self, key: &str, name: &str, (what, table): (&str, &str), known: &[&str]) {
        if !known.contains(&name) {
            let (guess, all) = (did_you_mean(name, known.iter().copied()), known.join(", "));
            let all = if all.is_empty() { "none" } else { &all };
            let told = format!("no {what} is named {name:?}{guess}; write [{table}.{name}] or another name");
            self.add(key, format!("{told} (known: {all})"));
        }
    }
}

/// Without what may be a secret in an address: a password before the host, all behind a question mark. The text keeps
/// its length, so that lines and columns stay.
fn masked(text: &str) -> String {
    let mut out = text.as_bytes().to_vec();
    let mut from = 0;
    while let Some(at) = text.get(from..).and_then(|rest| rest.find("://")) {
        let begin = from + at + 3;
        let rest = text.get(begin..).unwrap_or_default();
        let end = begin + rest.find(['"', '\'', '\n', ' ']).unwrap_or(rest.len());
        let address = text.get(begin..end).unwrap_or_default();
        let authority = address.find(['/', '?']).unwrap_or(address.len());
        let secret = address.get(..authority).and_then(|user| Some((user.find(':')? + 1, user.rfind('@')?)));
        let query = address.find('?').map(|at| (at + 1, address.len()));
        for (first, last) in [secret, query].into_iter().flatten().filter(|(first, last)| first < last) {
            out.get_mut(begin + first..begin + last).unwrap_or_default().fill(b'*');
        }
        from = end;
    }
    String::from_utf8(out).unwrap_or_default()
}

fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
    (line, column)
}

/// Where the value of `path` (or its nearest written ancestor) stands, and whether it is that value itself.
fn find(text: &str, path: &str) -> (Option<Range<usize>>, bool) {
    let Ok(root) = DeTable::parse(text) else { return (None, false) };
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
        let Some(value) = next else { return (span, false) };
        span = Some(value.span());
        table = if let DeValue::Table(inner) = value.get_ref() { Some(inner) } else { None };
        list = if let DeValue::Array(inner) = value.get_ref() { Some(inner) } else { None };
    }
    (span, true)
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
