//! A parameter that no route knows is refused: a filter that is spelt wrong must not answer with everything.
//!
//! What a route knows is read from the contract, so that the two cannot differ. Probes and `/metrics` take anything: what asks
//! them cannot always choose its query.

use axum::extract::{MatchedPath, Query, Request};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::error::ApiError;
use super::served::{self, below};
use crate::config::problem::did_you_mean;

fn check(method: &Method, path: &str, query: &[(String, String)]) -> Result<(), ApiError> {
    let method = if method == Method::HEAD { &Method::GET } else { method };
    let Some(operation) = served::operation(method, below(path)) else { return Ok(()) };
    let known = &operation.queries;
    let Some((name, _)) = query.iter().find(|(name, _)| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let guess = did_you_mean(name, known.iter().copied());
    let problem = match known.is_empty() {
        true => format!("{name:?} is no parameter; there are none here"),
        false => format!("{name:?} is no parameter{guess}; known here: {}", known.join(", ")),
    };
    Err(ApiError::BadQuery { problem })
}

/// The layer that refuses parameters which the operation does not have.
pub(super) async fn only_known(path: MatchedPath, request: Request, next: Next) -> Response {
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let query = query.map(|Query(query)| query).unwrap_or_default();
    match check(request.method(), path.as_str(), &query) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: &Method, path: &str, name: &str) -> Option<String> {
        match check(method, path, &[(name.to_owned(), "1".to_owned())]) {
            Err(ApiError::BadQuery { problem }) => Some(problem),
            Ok(()) | Err(_) => None,
        }
    }

    #[test]
    fn a_parameter_that_is_spelt_wrong_is_refused_by_every_route_and_told_how_it_is_written() {
        let wrong = told(&Method::GET, "/api/v2/sre/incidents", "sevrity").expect("refused");
        assert!(wrong.contains("did you mean \"severity\"") && wrong.contains("cursor"), "{wrong}");
        assert_eq!(told(&Method::GET, "/sre/incidents", "severity"), None);
        for one in served::operations() {
            let path = format!("/sre{}", below(one.path));
            assert!(told(&one.method, &path, "pretty").is_some(), "{} {path}", one.method);
        }
    }
}
