//! The source as the guards read it.

use std::path::{Path, PathBuf};

pub(crate) struct Source {
    pub(crate) path: String,
    /// Without comments and without tests.
    pub(crate) code: Vec<(usize, String)>,
    pub(crate) lines: usize,
}

pub(crate) fn files(dir: &Path, out: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(dir).expect("reads").flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            files(&path, out);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            out.push(path);
        }
    }
}

/// The lines before the tests. A module of tests in a file of its own ends nothing: wherever it is named, its name alone goes.
fn without_tests(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let marked = |at: usize| lines[at] == "#[cfg(test)]";
    let elsewhere = |at: usize| lines.get(at + 1).is_some_and(|next| next.ends_with(';'));
    let end = (0..lines.len()).find(|at| marked(*at) && !elsewhere(*at)).unwrap_or(lines.len());
    let blank = |at: usize| marked(at) || at > 0 && marked(at - 1);
    (0..end).map(|at| if blank(at) { "" } else { lines[at] }).collect()
}

#[test]
fn code_behind_the_name_of_a_module_of_tests_is_read() {
    let text = "use a;\n#[cfg(test)]\nmod tests;\nfn f() {}\n#[cfg(test)]\nmod more {\n    fn g() {}\n}";
    assert_eq!(without_tests(text), ["use a;", "", "", "fn f() {}"]);
}

pub(crate) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("src"), &mut found);
    assert!(found.len() > 50, "the source is somewhere else: {}", found.len());
    found
        .iter()
        .filter(|path| !path.ends_with("tests.rs"))
        .map(|path| {
            let text = std::fs::read_to_string(path).expect("reads");
            let lines = without_tests(&text);
            let code = lines
                .iter()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
                .map(|(at, line)| (at + 1, (*line).to_owned()))
                .collect();
            let path = path.strip_prefix(root).expect("below").display().to_string();
            Source { path, code, lines: lines.len() }
        })
        .collect()
}
