//! What a client has already is not sent again: `ETag` and `If-None-Match`.
//!
//! Tags of answers are weak: the moment and the age of an answer are no change of what it says.

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::Admin;
use crate::control::Snapshot;
use crate::net::sign;
use crate::reliability::incident::Incident;

/// Stands for what an answer says.
pub(super) struct Tag(String);

impl Tag {
    /// For all incidents and the status as they are now. Taken before they are looked at, so that it is never newer than they.
    pub(super) fn of_all(admin: &Admin) -> Self {
        let (boot, newest) = (admin.control.records().boot(), admin.control.changes().newest());
        Self(format!("W/\"{boot}.{newest}.{}\"", super::dependencies::of_the_whole(admin).status.label()))
    }

    /// For one incident as it is in the snapshot.
    pub(super) fn of(incident: &Incident, snapshot: &Snapshot) -> Self {
        let holds = snapshot.holding.contains(&incident.id);
        let silenced = snapshot.silenced.contains(&incident.id);
        let now = match (holds, silenced) {
            (false, false) => "",
            (true, false) => "h",
            (false, true) => "s",
            (true, true) => "hs",
        };
        Self(format!("W/\"{}.{}{now}\"", incident.id, incident.version))
    }

    /// For a file with that content.
    pub(super) fn of_file(content: &str) -> Self {
        Self(format!("\"{}\"", sign::short(content)))
    }

    /// The answer that `make` gives, or 304 when the client has it already.
    pub(super) fn answer<T: IntoResponse>(&self, headers: &HeaderMap, make: impl FnOnce() -> T) -> Response {
        let mut answer = match self.is_known(headers) {
            true => StatusCode::NOT_MODIFIED.into_response(),
            false => make().into_response(),
        };
        // Names and numbers, which a field may hold.
        if let Ok(tag) = HeaderValue::from_str(&self.0) {
            answer.headers_mut().insert(header::ETAG, tag);
        }
        answer
    }

    fn is_known(&self, headers: &HeaderMap) -> bool {
        let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
        // `*` stands for any: there is always something.
        known.is_some_and(|known| known.split(',').map(str::trim).any(|one| one == self.0 || one == "*"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_has_it_is_told_so() {
        let tag = Tag("W/\"a.2\"".to_owned());
        for (known, status) in
            [("W/\"a.1\", W/\"a.2\"", 304), ("*", 304), ("W/\"a.1\"", 200), ("a.2", 200), ("", 200)]
        {
            let headers: HeaderMap =
                [(header::IF_NONE_MATCH, HeaderValue::from_static(known))].into_iter().collect();
            let answer = tag.answer(&headers, || "all of it");
            assert_eq!(answer.status(), status, "{known}");
            assert_eq!(answer.headers()[header::ETAG], "W/\"a.2\"");
        }
        assert_eq!(tag.answer(&HeaderMap::new(), || "all of it").status(), 200);
    }
}
