//! Files that hold a secret: read, and told apart without being shown.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use secrecy::SecretString;
use serde_json::Value;

use super::places::below;
use crate::runtime::files;

/// What a file holds, without the white space around it; the text itself is never shown.
pub(super) fn read(file: &str, what: &str, least: usize) -> Result<SecretString, String> {
    let text = files::read_to_string(Path::new(file))
        .map_err(|error| format!("{file:?} cannot be read: {error}"))?;
    let held = text.trim();
    if held.len() < least {
        return Err(format!("{file:?} must hold {what} of at least {least} characters"));
    }
    if held.contains(char::is_control) {
        return Err(format!("{file:?} must hold {what} on one line, and nothing else"));
    }
    Ok(SecretString::from(held))
}

/// Does an authority (`user:password@host`) hold a password? Then what to write instead.
pub(super) fn none_in(authority: &str) -> Result<(), String> {
    match authority.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => Err(ELSEWHERE.to_owned()),
        Some(_) | None => Ok(()),
    }
}

/// What to write in the place of a password.
pub(super) const ELSEWHERE: &str =
    "holds a password, which this file should not; write password_file = \"PATH\"";

/// Files that hold no secret, or whose content is looked at while it runs.
const OPEN: [&str; 3] = ["ca_file", "cert_file", "key_file"];

/// What the secrets of a config were when it was read: a hash of each file's content by the path of its key. It is
/// keyed anew in each process: a rotation is seen, and the hash tells nobody anything.
pub(super) type Contents = BTreeMap<String, String>;

/// Reads the secret files that a config names and hashes their content.
pub(super) fn contents(file: &Value) -> Contents {
    let mut found = Contents::new();
    each(file, "", &mut |path, key, text| {
        if key.ends_with("_file") && !OPEN.contains(&key) {
            let held =
                files::read(Path::new(text)).map_or_else(|_| "not readable".to_owned(), |bytes| hash(&bytes));
            found.insert(path.to_owned(), held);
        }
    });
    found
}

/// The files of them.
pub(super) fn files(file: &Value) -> Vec<PathBuf> {
    let mut found = Vec::new();
    each(file, "", &mut |_, key, text| {
        if key.ends_with("_file") && !OPEN.contains(&key) {
            found.push(PathBuf::from(text));
        }
    });
    found
}

/// Which secrets others can read (or write), and what to write instead: those of any user, or of a group that this
/// process is not in. What lies on a volume that is mounted to be read only is for this process alone: so are the
/// secrets of a pod.
pub(super) fn exposed(file: &Value) -> Vec<String> {
    let mut keys: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    each(file, "", &mut |path, key, text| {
        if key.ends_with("_file") && !["ca_file", "cert_file"].contains(&key) {
            keys.entry(text).or_default().push(path.to_owned());
        }
    });
    let told = |(file, keys): (&str, Vec<String>)| {
        let (mode, who) = open_to_others(file)?;
        Some(format!(
            "{}: {file:?} is open to {who} (its mode is {mode:04o}); write `chmod 0400`, or 0440 with a group of this \
             process (in a pod: defaultMode: 0440 with fsGroup)",
            keys.join(", ")
        ))
    };
    keys.into_iter().filter_map(told).collect()
}

/// Its mode, and to whom it is open.
fn open_to_others(file: &str) -> Option<(u32, &'static str)> {
    let seen = std::fs::metadata(file).ok()?;
    let ours = || {
        let own = rustix::process::getegid().as_raw() == seen.gid();
        own || rustix::process::getgroups().is_ok_and(|all| all.iter().any(|gid| gid.as_raw() == seen.gid()))
    };
    let who = to_whom(seen.mode(), ours)?;
    let volume = rustix::fs::statvfs(file).ok()?;
    (!volume.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY)).then_some((seen.mode() & 0o777, who))
}

/// To whom a file of this mode is open beside its owner. `ours`: is its group one of this process?
fn to_whom(mode: u32, ours: impl Fn() -> bool) -> Option<&'static str> {
    match (mode & 0o006 > 0, mode & 0o060 > 0) {
        (true, _) => Some("every user of this machine"),
        (false, true) if !ours() => Some("a group that this process is not in"),
        (false, _) => None,
    }
}

/// Behind the key of a secret's file: the key of what it held.
pub(super) const CONTENT: &str = " (content)";

/// Puts beside each secret's file what it held.
pub(super) fn mark(file: &mut Value, contents: &Contents) {
    for (path, hash) in contents {
        let (table, key) = path.rsplit_once('.').unwrap_or(("", path));
        let pointer = if table.is_empty() { String::new() } else { format!("/{}", table.replace('.', "/")) };
        if let Some(Value::Object(table)) = file.pointer_mut(&pointer) {
            table.insert(format!("{key}{CONTENT}"), hash.as_str().into());
        }
    }
}

/// Takes out of addresses what may be a secret: all behind a question mark. `key`: under which the value stands.
pub(super) fn mask(key: &str, value: &mut Value) {
    match value {
        Value::Object(table) => table.iter_mut().for_each(|(key, value)| mask(key, value)),
        Value::Array(list) => list.iter_mut().for_each(|value| mask(key, value)),
        Value::String(text) if matches!(key, "url" | "urls") => {
            if let Some((plain, _)) = text.split_once('?') {
                *text = format!("{plain}?…");
            }
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Each text of a table and of those in it: path, key, text.
fn each<'a>(value: &'a Value, path: &str, take: &mut impl FnMut(&str, &str, &'a str)) {
    for (key, value) in value.as_object().into_iter().flatten() {
        let path = below(path, key);
        match value {
            Value::String(text) => take(&path, key, text),
            Value::Object(_) => each(value, &path, take),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {}
        }
    }
}

fn hash(bytes: &[u8]) -> String {
    static KEY: OnceLock<RandomState> = OnceLock::new();
    format!("{:016x}", KEY.get_or_init(RandomState::new).hash_one(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_for_its_owner_and_a_group_of_this_process() {
        for mode in [0o100_400, 0o100_600, 0o100_700] {
            assert_eq!(to_whom(mode, || false), None, "{mode:o}");
        }
        for mode in [0o440, 0o640, 0o460, 0o470] {
            assert_eq!(to_whom(mode, || true), None, "{mode:o}");
            assert_eq!(to_whom(mode, || false), Some("a group that this process is not in"), "{mode:o}");
        }
        for mode in [0o444, 0o644, 0o606, 0o402] {
            assert_eq!(to_whom(mode, || true), Some("every user of this machine"), "{mode:o}");
        }
    }
}
