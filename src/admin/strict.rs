//! A parameter that no route knows is refused: a filter that is spelt wrong must not answer with everything.
//!
//! What a route knows is read from the contract, so that the two cannot differ. Probes and `/metrics` take anything: what asks
//! them cannot always choose its query.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{MatchedPath, Query, Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::{OpenApi, RefOr};

use super::error::ApiError;
use crate::config::problem::did_you_mean;

/// The parameters of each operation, by method and path below the prefix.
#[derive(Debug, Default)]
pub(super) struct KnownParameters(BTreeMap<(Method, String), Vec<String>>);

impl KnownParameters {
    /// What the contract says.
    pub(super) fn of(document: &OpenApi) -> Self {
        let mut all = BTreeMap::new();
        for (path, item) in &document.paths.paths {
            let operations =
                [(Method::GET, &item.get), (Method::POST, &item.post), (Method::DELETE, &item.delete)];
            for (method, operation) in operations {
                let Some(operation) = operation else { continue };
                let stated = operation.parameters.iter().flatten().filter_map(|one| match one {
                    RefOr::T(one) => Some(one),
                    RefOr::Ref(_) => None,
                });
                let queries = stated.filter(|one| one.parameter_in == ParameterIn::Query);
                let path = below(path).to_owned();
                all.insert((method, path), queries.map(|one| one.name.clone()).collect());
            }
        }
        Self(all)
    }

    fn check(&self, method: &Method, path: &str, query: &[(String, String)]) -> Result<(), ApiError> {
        let method = if method == Method::HEAD { Method::GET } else { method.clone() };
        let Some(known) = self.0.get(&(method, below(path).to_owned())) else { return Ok(()) };
        let Some((name, _)) = query.iter().find(|(name, _)| !known.contains(name)) else { return Ok(()) };
        let guess = did_you_mean(name, known.iter().map(String::as_str));
        let problem = match known.is_empty() {
            true => format!("{name:?} is no parameter; there are none here"),
            false => format!("{name:?} is no parameter{guess}; known here: {}", known.join(", ")),
        };
        Err(ApiError::BadQuery { problem })
    }
}

/// The path without the prefix that it was asked by.
pub(super) fn below(path: &str) -> &str {
    path.strip_prefix("/api/v2/sre").or_else(|| path.strip_prefix("/sre")).unwrap_or(path)
}

/// The layer that refuses parameters which the operation does not have.
pub(super) async fn only_known(
    State(parameters): State<Arc<KnownParameters>>,
    path: MatchedPath,
    request: Request,
    next: Next,
) -> Response {
    let query = Query::<Vec<(String, String)>>::try_from_uri(request.uri());
    let query = query.map(|Query(query)| query).unwrap_or_default();
    match parameters.check(request.method(), path.as_str(), &query) {
        Ok(()) => next.run(request).await,
        Err(refused) => refused.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(method: &Method, path: &str, name: &str) -> Option<String> {
        let parameters = KnownParameters::of(&crate::admin::router::openapi());
        match parameters.check(method, path, &[(name.to_owned(), "1".to_owned())]) {
            Err(ApiError::BadQuery { problem }) => Some(problem),
            Ok(()) | Err(_) => None,
        }
    }

    #[test]
    fn a_parameter_that_is_spelt_wrong_is_refused_by_every_route_and_told_how_it_is_written() {
        let wrong = told(&Method::GET, "/api/v2/sre/incidents", "sevrity").expect("refused");
        assert!(wrong.contains("did you mean \"severity\"") && wrong.contains("cursor"), "{wrong}");
        assert_eq!(told(&Method::GET, "/sre/incidents", "severity"), None);
        let document = crate::admin::router::openapi();
        let mut routes = 0;
        for (method, path) in KnownParameters::of(&document).0.keys() {
            assert!(told(method, &format!("/sre{path}"), "pretty").is_some(), "{method} {path}");
            routes += 1;
        }
        assert!(routes > 30, "{routes}");
    }
}
