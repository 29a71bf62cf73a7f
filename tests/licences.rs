//! Every dependency has a licence that `deny.toml` allows.

use std::path::Path;
use std::process::Command;

/// Does an SPDX expression allow use under `allowed`? `OR` needs one side, `AND` both; `/` is how old crates write `OR`.
fn fits(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let spaced = spaced.replace(" WITH ", "\u{1}");
    let words: Vec<String> = spaced.split_whitespace().map(|word| word.replace('\u{1}', " WITH ")).collect();
    let mut at = 0;
    let fits = any(&words, &mut at, allowed);
    fits && at == words.len()
}

fn any(words: &[String], at: &mut usize, allowed: &[String]) -> bool {
    let mut fits = all(words, at, allowed);
    while words.get(*at).is_some_and(|word| word == "OR") {
        *at += 1;
        // Both sides are read, whatever the first one says.
        fits |= all(words, at, allowed);
    }
    fits
}

fn all(words: &[String], at: &mut usize, allowed: &[String]) -> bool {
    let mut fits = one(words, at, allowed);
    while words.get(*at).is_some_and(|word| word == "AND") {
        *at += 1;
        fits &= one(words, at, allowed);
    }
    fits
}

fn one(words: &[String], at: &mut usize, allowed: &[String]) -> bool {
    let word = words.get(*at).cloned().unwrap_or_default();
    *at += 1;
    if word != "(" {
        return allowed.contains(&word);
    }
    let fits = any(words, at, allowed);
    *at += 1; // the closing one
    fits
}

#[test]
fn every_dependency_has_a_licence_that_is_allowed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let deny: toml::Table =
        std::fs::read_to_string(root.join("deny.toml")).expect("reads").parse().expect("TOML");
    let allowed: Vec<String> = deny["licenses"]["allow"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|name| name.as_str().expect("text").to_owned())
        .collect();
    let ran = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .current_dir(root)
        .output()
        .expect("cargo runs");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&ran.stdout).expect("JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    assert!(packages.len() > 200, "{}", packages.len());
    let wrong: Vec<String> = packages
        .iter()
        .filter(|package| !fits(package["license"].as_str().unwrap_or_default(), &allowed))
        .map(|package| format!("{} {}: {}", package["name"], package["version"], package["license"]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT".to_owned(), "ISC".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    for good in
        ["MIT", "MIT OR GPL-3.0", "GPL-3.0/MIT", "ISC AND (GPL-3.0 OR MIT)", "Apache-2.0 WITH LLVM-exception"]
    {
        assert!(fits(good, &allowed), "{good}");
    }
    for bad in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT OR ISC) AND GPL-3.0"] {
        assert!(!fits(bad, &allowed), "{bad}");
    }
}
