//! Templates of paths: which of them, if any, has the form of this path?
//!
//! A template is a path whose segments may be parameters: `/bookings/{id}`, `/files/{*rest}`. `{id}` stands for one
//! segment with at least one byte, `{*rest}` for at least one byte up to the end of the path, slashes included. At each
//! segment the literal comes before the parameter and the parameter before the catch-all; where the better choice
//! leads nowhere, the next one is tried. That is the precedence of the `matchit` crate, which is not used here because
//! it allocates for each match that passes a literal beside a parameter and for more than three parameters; it also
//! refuses a parameter beside a catch-all. The tests compare the two.
//!
//! Paths are compared byte by byte as they were sent: nothing is decoded (`%41` is not `A`), no empty segment (`//`),
//! `.` or `..` is removed, and `/a/` is not `/a`. A proxy that decided by another spelling than the one it forwards
//! could be led past its own routes.
//!
//! A look-up visits each node of the tree at most once and does not allocate.

use std::fmt;

use super::path::is_sent;

/// The most segments of a template; [`Templates::find`] recurses once for each.
const MOST_SEGMENTS: usize = 64;

/// Why a text cannot be used as a template. The text of each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TemplateError {
    /// It begins with something else than a slash.
    NoSlash(String),
    /// A brace that is opened and not closed, or closed and not opened, in this segment.
    Unbalanced(String),
    /// This segment is more than its parameter.
    NotWhole(String),
    /// The parameter of this segment has no name, or one with other characters than letters, digits and `_`.
    BadName(String),
    /// Two parameters have this name.
    SameName(String),
    /// Something comes after this catch-all.
    NotLast(String),
    /// A byte that no path can have.
    BadByte(char),
    /// It has more than 64 segments.
    TooLong,
    /// This other template matches the very same paths.
    Taken(String),
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSlash(text) => {
                write!(f, "{text:?} must begin with a slash, such as \"/bookings/{{id}}\"")
            }
            Self::Unbalanced(segment) => {
                write!(
                    f,
                    "{segment:?} has a brace without its partner; write {{id}}, or %7B and %7D for braces in a path"
                )
            }
            Self::NotWhole(segment) => write!(
                f,
                "{segment:?} is more than a parameter: one stands for a whole segment; write {{id}} alone between two slashes"
            ),
            Self::BadName(segment) => {
                write!(
                    f,
                    "{segment:?} names no parameter; write {{id}} or {{*rest}}, with letters, digits and _ only"
                )
            }
            Self::SameName(name) => {
                write!(f, "two parameters are named {name:?}; write another name for one of them")
            }
            Self::NotLast(segment) => write!(
                f,
                "{segment:?} stands for all that follows, so nothing may follow it; write {{id}} for one segment"
            ),
            Self::BadByte(found) => write!(
                f,
                "{found:?} is in no path as it is sent: the query is not compared; write other characters percent-encoded, such as %20"
            ),
            Self::TooLong => {
                write!(f, "it has more than {MOST_SEGMENTS} segments; write {{*rest}} for the last ones")
            }
            Self::Taken(other) => {
                write!(
                    f,
                    "it matches the same paths as {other:?}: names of parameters make no difference; write one of the two"
                )
            }
        }
    }
}

impl std::error::Error for TemplateError {}

/// A segment of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Segment<'a> {
    /// A segment of exactly these bytes.
    Literal(&'a str),
    /// Any one segment that is not empty.
    Parameter(&'a str),
    /// All the rest, at least one byte.
    CatchAll(&'a str),
}

fn segment(text: &str) -> Result<Segment<'_>, TemplateError> {
    let (opened, closed) = (text.matches('{').count(), text.matches('}').count());
    if opened == 0 && closed == 0 {
        return Ok(Segment::Literal(text));
    }
    if opened != closed || text.find('{') > text.find('}') {
        return Err(TemplateError::Unbalanced(text.to_owned()));
    }
    let whole = text.strip_prefix('{').and_then(|text| text.strip_suffix('}'));
    let inner = whole.filter(|_| opened == 1).ok_or_else(|| TemplateError::NotWhole(text.to_owned()))?;
    let name = inner.strip_prefix('*').unwrap_or(inner);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(TemplateError::BadName(text.to_owned()));
    }
    Ok(if inner.starts_with('*') { Segment::CatchAll(name) } else { Segment::Parameter(name) })
}

fn segments(text: &str) -> Result<Vec<Segment<'_>>, TemplateError> {
    let rest = text.strip_prefix('/').ok_or_else(|| TemplateError::NoSlash(text.to_owned()))?;
    if let Some(bad) = text.chars().find(|c| !is_sent(*c)) {
        return Err(TemplateError::BadByte(bad));
    }
    let parts: Vec<&str> = rest.split('/').collect();
    if parts.len() > MOST_SEGMENTS {
        return Err(TemplateError::TooLong);
    }
    let mut all = Vec::with_capacity(parts.len());
    for part in parts {
        let read = segment(part)?;
        if let Some(Segment::CatchAll(name)) = all.last() {
            return Err(TemplateError::NotLast(format!("{{*{name}}}")));
        }
        if let Segment::Parameter(name) | Segment::CatchAll(name) = read
            && all.contains(&Segment::Parameter(name))
        {
            return Err(TemplateError::SameName(name.to_owned()));
        }
        all.push(read);
    }
    Ok(all)
}

/// What a template leads to, with the template.
#[derive(Clone, Debug)]
struct Leaf<T> {
    template: Box<str>,
    value: T,
}

#[derive(Clone, Debug)]
struct Node<T> {
    /// A path may end here.
    end: Option<Leaf<T>>,
    /// Sorted by their bytes.
    literals: Vec<(Box<[u8]>, Self)>,
    parameter: Option<Box<Self>>,
    catch_all: Option<Leaf<T>>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self { end: None, literals: Vec::new(), parameter: None, catch_all: None }
    }
}

impl<T> Node<T> {
    fn literal(&mut self, text: &[u8]) -> &mut Self {
        let at = match self.literals.binary_search_by(|(own, _)| (**own).cmp(text)) {
            Ok(at) => at,
            Err(at) => {
                self.literals.insert(at, (text.into(), Self::default()));
                at
            }
        };
        &mut self.literals[at].1
    }

    /// `rest`: the path behind the slash that follows this node.
    fn find(&self, rest: &[u8]) -> Option<&Leaf<T>> {
        let (segment, behind) = match memchr::memchr(b'/', rest) {
            Some(at) => (rest.get(..at).unwrap_or_default(), rest.get(at + 1..)),
            None => (rest, None),
        };
        let literal = self.literals.binary_search_by(|(own, _)| (**own).cmp(segment)).ok();
        let literal = literal.and_then(|at| self.literals.get(at)).map(|(_, child)| child);
        let parameter = self.parameter.as_deref().filter(|_| !segment.is_empty());
        let found = [literal, parameter].into_iter().flatten().find_map(|child| match behind {
            Some(behind) => child.find(behind),
            None => child.end.as_ref(),
        });
        found.or_else(|| self.catch_all.as_ref().filter(|_| !rest.is_empty()))
    }
}

/// Templates, each with what it leads to.
#[derive(Clone, Debug)]
pub struct Templates<T> {
    root: Node<T>,
}

impl<T> Default for Templates<T> {
    fn default() -> Self {
        Self { root: Node::default() }
    }
}

impl<T> Templates<T> {
    /// One more. After an error all others are found as before.
    pub fn insert(&mut self, template: &str, value: T) -> Result<(), TemplateError> {
        let segments = segments(template)?;
        let mut node = &mut self.root;
        for segment in &segments {
            match segment {
                Segment::Literal(text) => node = node.literal(text.as_bytes()),
                Segment::Parameter(_) => node = node.parameter.get_or_insert_default(),
                // The last one.
                Segment::CatchAll(_) => {}
            }
        }
        let open_ended = matches!(segments.last(), Some(Segment::CatchAll(_)));
        let place = if open_ended { &mut node.catch_all } else { &mut node.end };
        if let Some(taken) = place {
            return Err(TemplateError::Taken(taken.template.to_string()));
        }
        *place = Some(Leaf { template: template.into(), value });
        Ok(())
    }

    /// What the template that matches `path` leads to. `path` is as it was sent, without the query.
    pub fn find(&self, path: &[u8]) -> Option<&T> {
        let rest = path.strip_prefix(b"/")?;
        self.root.find(rest).map(|leaf| &leaf.value)
    }
}

#[cfg(test)]
mod tests;
