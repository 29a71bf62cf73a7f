//! What a key is: from the schema of the file, and from the words of the reference. It knows no file.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Serialize;
use serde_json::Value;

use super::problem::did_you_mean;

static SCHEMA: LazyLock<Value> = LazyLock::new(super::schema::read);

/// What the reference says of each key, `*` for any name.
static REFERENCE: LazyLock<BTreeMap<String, String>> =
    LazyLock::new(|| remarks(include_str!("../../config/reference.toml")));

/// Suggestions, at most.
const GUESSES: usize = 8;

/// What a key is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct KeyHelp {
    /// The key as it was asked for.
    pub key: String,
    /// What it is for.
    pub says: String,
    /// What the reference says beside it: unit, range, what else it depends on. Empty: nothing.
    pub remark: String,
    /// What to write; empty: it is a table.
    pub write: String,
    /// The words that may stand there, each with its meaning; empty: it is no closed set.
    pub words: Vec<KeyWord>,
    /// The default where nothing else gives one; null: it is absent, or a table.
    pub default: Value,
    /// When a change is in force.
    pub applies: Applies,
    /// Keys below it, each with what it is for.
    pub keys: Vec<KeyLine>,
}

/// A word that may stand at a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyWord {
    pub word: String,
    pub means: String,
}

/// A key below another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyLine {
    pub key: String,
    pub says: String,
}

/// When a changed value is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Applies {
    /// As soon as the file is read again.
    AtOnce,
    /// With the next start.
    WithRestart,
    /// At once; but that the table is there or not, with the next start.
    PresenceWithRestart,
}

impl Applies {
    /// As people read it.
    pub fn label(self) -> &'static str {
        match self {
            Self::AtOnce => "as soon as the file is read again",
            Self::WithRestart => "with the next start",
            Self::PresenceWithRestart => "at once; that the table comes or goes, with the next start",
        }
    }
}

/// A place in the schema.
struct Place {
    /// The key's own schema, and those that it refers to or may be instead.
    nodes: Vec<&'static Value>,
    /// The path with `*` for names.
    generic: Vec<String>,
    applies: Applies,
    /// What is said of the table that it is a nameless member of.
    above: String,
}

impl Place {
    fn root() -> Self {
        Self { nodes: opened(&SCHEMA), generic: Vec::new(), applies: Applies::AtOnce, above: String::new() }
    }

    /// Keys with a name of their own.
    fn named(&self) -> impl Iterator<Item = (&'static String, &'static Value)> + use<> {
        let tables: Vec<_> =
            self.nodes.iter().filter_map(|node| node.get("properties")?.as_object()).collect();
        tables.into_iter().flatten()
    }

    /// What stands under any name, or as a member of a list of tables.
    fn any(&self) -> Option<&'static Value> {
        let any = |node: &&'static Value| {
            let more = node.get("additionalProperties").filter(|more| more.is_object());
            more.or_else(|| node.get("items").filter(|items| is_table(items)))
        };
        self.nodes.iter().find_map(any)
    }

    fn below(&self, key: &str, node: &'static Value) -> Self {
        let own = match node.get("x-restart") {
            Some(Value::Bool(true)) => Applies::WithRestart,
            Some(_) => Applies::PresenceWithRestart,
            None => Applies::AtOnce,
        };
        let applies = if self.applies == Applies::WithRestart { Applies::WithRestart } else { own };
        let generic = self.generic.iter().cloned().chain([key.to_owned()]).collect();
        let above = if key == "*" { self.text("description") } else { String::new() };
        Self { nodes: opened(node), generic, applies, above }
    }

    /// The key below it; `Err`: the names that there are.
    fn step(self, part: &str) -> Result<Self, Vec<String>> {
        if let Some((key, node)) = self.named().find(|(key, _)| *key == part) {
            return Ok(self.below(key, node));
        }
        let Some(any) = self.any() else {
            return Err(self.named().map(|(key, _)| key.clone()).collect());
        };
        let inner = self.below("*", any);
        // Of a list its number may be left out.
        let is_list = self.nodes.iter().any(|node| node.get("items").is_some());
        match is_list && part.parse::<usize>().is_err() && inner.named().any(|(key, _)| key == part) {
            true => inner.step(part),
            false => Ok(inner),
        }
    }

    fn text(&self, field: &str) -> String {
        self.nodes.iter().find_map(|node| node.get(field)?.as_str()).unwrap_or_default().to_owned()
    }
}

fn is_table(node: &'static Value) -> bool {
    opened(node).iter().any(|node| node.get("properties").is_some())
}

/// A schema, those that it refers to, and those of which it may be one.
fn opened(node: &'static Value) -> Vec<&'static Value> {
    let mut all = vec![node];
    let name = node.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix("#/$defs/"));
    all.extend(name.and_then(|name| SCHEMA.get("$defs")?.get(name)).map(opened).into_iter().flatten());
    for list in ["anyOf", "oneOf", "allOf"] {
        all.extend(node.get(list).and_then(Value::as_array).into_iter().flatten().flat_map(opened));
    }
    all
}

/// What the key `path` is, such as `upstreams.stripe.breaker.failures`; `*` stands for any name. An error names those that
/// were probably meant.
pub fn explain(path: &str) -> Result<KeyHelp, String> {
    let mut place = Place::root();
    let mut so_far = String::new();
    for part in path.split('.').filter(|part| !part.is_empty()) {
        place = place.step(part).map_err(|known| unknown(path, &so_far, part, &known))?;
        so_far = super::places::below(&so_far, part);
    }
    let keys: Vec<KeyLine> = match place.any() {
        Some(any) => {
            let inner = place.below("*", any);
            inner.named().map(|(key, node)| line(&format!("*.{key}"), node)).collect()
        }
        None => place.named().map(|(key, node)| line(key, node)).collect(),
    };
    let default = place.nodes.iter().find_map(|node| node.get("default")).filter(|_| keys.is_empty());
    Ok(KeyHelp {
        key: so_far,
        says: Some(place.text("description"))
            .filter(|says| !says.is_empty())
            .unwrap_or_else(|| place.above.clone()),
        remark: REFERENCE.get(&place.generic.join(".")).cloned().unwrap_or_default(),
        write: if keys.is_empty() { written(&place) } else { String::new() },
        words: words(&place),
        default: default.cloned().unwrap_or_default(),
        applies: place.applies,
        keys,
    })
}

fn line(key: &str, node: &'static Value) -> KeyLine {
    let says = opened(node).iter().find_map(|node| node.get("description")?.as_str()).unwrap_or_default();
    KeyLine { key: key.to_owned(), says: first_sentence(says) }
}

/// Up to its end, on one line.
fn first_sentence(text: &str) -> String {
    let text = text.replace('\n', " ");
    text.split_once(". ").map_or_else(|| text.clone(), |(first, _)| format!("{first}."))
}

fn unknown(path: &str, table: &str, part: &str, known: &[String]) -> String {
    let guess = did_you_mean(part, known.iter().map(String::as_str));
    let at = if table.is_empty() { "the file".to_owned() } else { format!("{table:?}") };
    let last = path.rsplit('.').next().unwrap_or_default();
    let elsewhere: Vec<&str> =
        REFERENCE.keys().map(String::as_str).filter(|key| ends_like(key, last)).collect();
    let elsewhere = match elsewhere.split_at_checked(GUESSES) {
        _ if elsewhere.is_empty() => String::new(),
        Some((first, more)) if !more.is_empty() => {
            format!("; {last:?} is the end of {} and {} more", first.join(", "), more.len())
        }
        Some(_) | None => format!("; {last:?} is the end of {}", elsewhere.join(", ")),
    };
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    format!("there is no key {part:?} in {at}{guess}{elsewhere} (known: {known})")
}

fn ends_like(key: &str, last: &str) -> bool {
    key.rsplit('.').next() == Some(last)
}

/// What to write at a key that is no table.
fn written(place: &Place) -> String {
    let of = |field: &str| place.nodes.iter().find_map(|node| node.get(field));
    if let Some(like) = of("x-write").and_then(Value::as_str) {
        return like.to_owned();
    }
    let kinds: Vec<&str> =
        place.nodes.iter().flat_map(|node| kinds(node)).filter(|kind| *kind != "null").collect();
    if of("enum").is_some() {
        return "one of the words below, in quotes".to_owned();
    }
    let bound = |field: &str| of(field).and_then(Value::as_f64);
    let bits = of("format").and_then(Value::as_str).and_then(|format| format.strip_prefix("uint"));
    let most = bound("maximum").or_else(|| {
        bits?.parse::<u32>().ok().filter(|bits| *bits < 53).map(|bits| f64::from(bits).exp2() - 1.0)
    });
    let told = kinds.iter().map(|kind| match *kind {
        "integer" => match (bound("minimum"), most) {
            (Some(least), Some(most)) => format!("a whole number from {least} to {most}"),
            (Some(least), None) => format!("a whole number from {least} on"),
            (None, _) => "a whole number".to_owned(),
        },
        "number" => "a number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "string" => "text in quotes".to_owned(),
        "array" => list_of(of("items")),
        "object" => "a table".to_owned(),
        other => other.to_owned(),
    });
    let mut told: Vec<String> = told.collect();
    told.dedup();
    told.join(", or ")
}

fn list_of(items: Option<&'static Value>) -> String {
    let like = items
        .map(opened)
        .into_iter()
        .flatten()
        .find_map(|node| node.get("x-write").or_else(|| node.get("description"))?.as_str());
    like.map_or_else(
        || "a list, such as [\"one\", \"two\"]".to_owned(),
        |like| format!("a list; each: {like}"),
    )
}

fn kinds(node: &'static Value) -> Vec<&'static str> {
    match node.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => Vec::new(),
    }
}

/// The closed set of a key.
fn words(place: &Place) -> Vec<KeyWord> {
    let node = place.nodes.iter().find(|node| node.get("enum").is_some());
    let Some(node) = node else { return Vec::new() };
    let words = node["enum"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let meanings = node["x-taplo"]["docs"]["enumValues"].as_array();
    let means = |nth: usize| meanings.and_then(|all| all.get(nth)?.as_str()).unwrap_or_default().to_owned();
    words.enumerate().map(|(nth, word)| KeyWord { word: word.to_owned(), means: means(nth) }).collect()
}

/// What stands behind each key of a text in the form of the reference, by its path with `*` for names.
fn remarks(text: &str) -> BTreeMap<String, String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    let (mut table, mut last) = (String::new(), None::<String>);
    for line in text.lines() {
        let plain = line.strip_prefix("# ").unwrap_or(line);
        let (code, remark) = plain.split_once(" # ").unwrap_or((plain, ""));
        let code = code.trim();
        if let Some(head) = code.strip_prefix('[').and_then(|head| head.split_once(']')).map(|(head, _)| head)
        {
            table = head.trim_start_matches('[').to_owned();
            last = generic(&table).inspect(|key| keep(&mut found, key, remark));
        } else if let Some((key, _)) = code.split_once(" = ").filter(|(key, _)| is_key(key)) {
            last = generic(&super::places::below(&table, key)).inspect(|key| keep(&mut found, key, remark));
        } else if let (Some(more), Some(key)) = (line.strip_prefix("  ").map(str::trim), &last) {
            keep(&mut found, key, more.trim_start_matches("# "));
        } else {
            last = None;
        }
    }
    found
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn generic(path: &str) -> Option<String> {
    let place = path.split('.').try_fold(Place::root(), |place, part| place.step(part).ok())?;
    Some(place.generic.join("."))
}

/// Adds to what is there; a key that is shown twice has the remarks of both.
fn keep(found: &mut BTreeMap<String, String>, key: &str, remark: &str) {
    let kept = found.entry(key.to_owned()).or_default();
    let gap = if kept.is_empty() || remark.is_empty() { "" } else { " " };
    kept.push_str(gap);
    kept.push_str(remark.trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All keys of the schema that are no tables, by names that may stand there.
    fn all(place: Place, found: &mut Vec<String>) {
        let keys: Vec<(String, Place)> = match place.any() {
            Some(any) => vec![("*".to_owned(), place.below("*", any))],
            None => place.named().map(|(key, node)| (key.clone(), place.below(key, node))).collect(),
        };
        if keys.is_empty() {
            found.push(place.generic.join("."));
        }
        keys.into_iter().for_each(|(_, inner)| all(inner, found));
    }

    #[test]
    fn each_key_says_what_it_is_for_and_what_to_write() {
        let mut keys = Vec::new();
        all(Place::root(), &mut keys);
        assert!(keys.len() > 200, "{} keys", keys.len());
        for key in keys {
            let help = explain(&key).unwrap_or_else(|problem| panic!("{key}: {problem}"));
            assert!(!help.write.is_empty(), "{key} says not what to write: {help:?}");
            assert!(!help.says.is_empty() || !help.remark.is_empty(), "{key} says nothing of itself");
        }
    }

    #[test]
    fn a_key_is_explained_under_any_name_with_its_words_and_the_reference() {
        let help = explain("upstreams.stripe.breaker.mode").expect("it is a key");
        let words: Vec<&str> = help.words.iter().map(|word| word.word.as_str()).collect();
        assert_eq!(words, ["on", "shadow", "off"]);
        let help = explain("upstreams.stripe.timeouts.first_byte").expect("it is a key");
        assert!(help.write.contains("a duration in quotes"), "{help:?}");
        assert!(help.remark.contains("to the final response head"), "{help:?}");
        assert_eq!(help.applies, Applies::AtOnce);
        assert_eq!(explain("store.url").expect("it is a key").applies, Applies::WithRestart);
        for path in ["routes.prefix", "routes.0.prefix", "routes.*.prefix"] {
            assert!(explain(path).expect("it is a key").says.contains("everything below it"), "{path}");
        }
    }

    #[test]
    fn a_table_lists_its_keys_and_a_wrong_one_names_those_that_were_meant() {
        let table = explain("upstreams.stripe.retry").expect("it is a table");
        assert!(table.keys.iter().any(|line| line.key == "attempts") && table.write.is_empty(), "{table:?}");
        let wrong = explain("upstreams.stripe.retry.atempts").expect_err("it is none");
        assert!(wrong.contains("did you mean \"attempts\"?"), "{wrong}");
        let bare = explain("open_for").expect_err("it is in no table");
        assert!(bare.contains("upstreams.*.breaker.open_for"), "{bare}");
    }
}
