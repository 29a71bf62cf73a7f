//! One file of the source, as text: no compiler is asked.

use std::path::{Path, PathBuf};

/// A file without its tests.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) code: Vec<String>,
}

fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    let entries = std::fs::read_dir(dir).expect("reads").flatten().map(|entry| entry.path());
    for path in entries {
        if path.is_dir() && !path.ends_with("tests") {
            files(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "rs") && !path.ends_with("tests.rs") {
            out.push(path);
        }
    }
}

/// All files below a directory of this repository.
pub(crate) fn all(dir: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join(dir), &mut found);
    found.sort();
    let read = |path: &PathBuf| {
        let below = path.strip_prefix(root).expect("below").display().to_string();
        Source::of(&below, &std::fs::read_to_string(path).expect("reads"))
    };
    found.iter().map(read).collect()
}

/// Without what says who may see it.
fn bare(line: &str) -> &str {
    let line = line.trim_start();
    let Some(rest) = line.strip_prefix("pub") else { return line };
    let rest = match rest.strip_prefix('(') {
        Some(within) => within.split_once(')').map_or("", |(_, rest)| rest),
        None => rest,
    };
    rest.trim_start()
}

fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn is_function(line: &str) -> bool {
    let mut line = bare(line);
    for word in ["default ", "const ", "async ", "unsafe "] {
        line = line.strip_prefix(word).unwrap_or(line);
    }
    line.starts_with("fn ")
}

impl Source {
    pub(crate) fn of(path: &str, text: &str) -> Self {
        // A module of tests in a file of its own ends nothing, wherever it is named.
        let lines: Vec<&str> = text.lines().collect();
        let elsewhere = |at: usize| lines.get(at + 1).is_some_and(|next| next.ends_with(';'));
        let is_end = |at: &usize| lines[*at] == "#[cfg(test)]" && !elsewhere(*at);
        let end = (0..lines.len()).find(is_end).unwrap_or(lines.len());
        let code = lines[..end].iter().map(|line| (*line).to_owned()).collect();
        Self { path: path.to_owned(), code }
    }

    /// The types that it defines; an associated type is its trait's.
    pub(crate) fn types(&self) -> Vec<String> {
        let kinds = ["struct ", "enum ", "trait ", "type "];
        let lines = self.code.iter().filter(|line| !line.starts_with(' '));
        lines
            .filter_map(|line| kinds.iter().find_map(|kind| bare(line).strip_prefix(kind)))
            .map(name)
            .collect()
    }

    /// The lengths of its functions, from the line that names one to its last brace.
    pub(crate) fn functions(&self) -> Vec<usize> {
        let (mut lengths, mut open) = (Vec::new(), None::<(usize, usize)>);
        for (at, line) in self.code.iter().enumerate() {
            let depth = line.len() - line.trim_start().len();
            match open {
                Some((from, outer)) if depth == outer && line.trim_start().starts_with('}') => {
                    lengths.push(at - from + 1);
                    open = None;
                }
                // A trait's function without a body.
                Some((_, outer)) if depth == outer && line.ends_with(';') => open = None,
                None if is_function(line) && line.ends_with('}') => lengths.push(1),
                None if is_function(line) && !line.ends_with(';') => open = Some((at, depth)),
                Some(_) | None => {}
            }
        }
        lengths
    }

    /// What its docs say, line by line, but for drawings and code.
    pub(crate) fn docs(&self) -> impl Iterator<Item = &str> {
        let mut drawn = false;
        let text = |line: &'_ String| -> Option<usize> {
            let start = line.len() - line.trim_start().len();
            ["///", "//!"].iter().any(|mark| line[start..].starts_with(mark)).then_some(start + 3)
        };
        let lines = self.code.iter().filter_map(move |line| text(line).map(|from| line[from..].trim()));
        lines.filter(move |line| {
            let fence = line.starts_with("```");
            drawn ^= fence;
            !fence && !drawn
        })
    }

    /// Its code in one text, without comments and texts in quotes.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for line in &self.code {
            let line = line.split("//").next().unwrap_or_default();
            let outside = line.split('"').step_by(2);
            outside.for_each(|part| text += part);
            text.push('\n');
        }
        text
    }
}

#[test]
fn tests_are_cut_off_where_they_begin_and_not_where_their_file_is_named() {
    let text =
        "mod a;\n#[cfg(test)]\nmod tests;\nfn one() {}\n#[cfg(test)]\nmod more {\n    fn two() {}\n}\n";
    assert_eq!(Source::of("src/x.rs", text).functions(), [1]);
}

#[test]
fn functions_are_measured_from_name_to_brace() {
    let text = "fn one() {}\npub async fn two(\n    a: u8,\n) -> u8 {\n    a\n}\ntrait T {\n    fn bare(&self);\n    fn three(&self) {\n    }\n}\n";
    assert_eq!(Source::of("src/x.rs", text).functions(), [1, 5, 2]);
}
