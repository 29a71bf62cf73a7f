//! The page for people: the shell with the state as the server tells it, its files, log-in and log-out.
//!
//! The page itself reads the API like everybody else; without JavaScript the overview still tells the state. Nothing comes
//! from elsewhere, and nothing is run that is not one of these files.

mod overview;
mod session;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header, request};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use serde::Deserialize;

use super::dashboard::Dashboard;
use super::etag::Tag;
use super::{Admin, dependencies, error, token};
use crate::report::html;
use crate::runtime::clock;

pub(super) use session::holds;

const SHELL: &str = include_str!("assets/shell.html");
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; \
                      form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A file of the page: name, type, content.
type PageFile = (&'static str, &'static str, &'static str);

macro_rules! files {
    ($($kind:literal: $($name:literal)*;)*) => {
        &[$($(($name, $kind, include_str!(concat!("assets/", $name))),)*)*]
    };
}

const FILES: &[PageFile] = files! {
    "text/css; charset=utf-8": "app.css" "parts.css";
    "text/javascript; charset=utf-8": "api.js" "app.js" "calendar.js" "chart.js" "dom.js" "format.js" "live.js" "order.js"
        "parts.js" "plot.js" "silences.js" "standby.js" "traffic-charts.js" "view-incident.js" "view-incidents.js"
        "view-overview.js" "view-recovery.js" "view-runbook.js" "view-settings.js" "view-traffic.js" "view-upstream.js"
        "view-upstreams.js" "view-uptime.js";
};

/// What may be asked for without a token: nothing of it tells how it is.
pub(super) fn is_open(request: &request::Parts) -> bool {
    let path = request.uri.path();
    let page = path == "/" && wants_html(&request.headers);
    (request.method == Method::GET && (page || path.starts_with("/ui/")))
        || (request.method == Method::POST && (path == "/ui/login" || path == "/ui/logout"))
}

/// A browser asks for a page, everybody else for the index.
pub(super) fn wants_html(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        // Where a browser stands after a token that was wrong.
        .route("/ui/login", get(async || Redirect::to("/")).post(login))
        .route("/ui/logout", post(logout))
        .route("/ui/{file}", get(file))
}

/// The shell with what it is to show.
fn shell(admin: &Admin, status: StatusCode, main: &str, asked: &str) -> Response {
    let page = SHELL
        .replace("{{process}}", &html(admin.control.records().member()))
        .replace("{{version}}", env!("CARGO_PKG_VERSION"))
        .replace("{{asked}}", asked)
        // Last: what it says is not looked at again.
        .replace("{{main}}", main);
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, page).into_response()
}

/// The page: the overview, or where a token is asked for and this browser has not logged in, the form for it.
pub(super) fn page(admin: &Admin, headers: &HeaderMap) -> Response {
    let world = admin.registry.snapshot();
    if let Some(wanted) = &world.config.admin.token
        && !holds(headers, admin.listen.port(), wanted, clock::now().wall)
        && !token::bears(headers, wanted)
    {
        return shell(admin, StatusCode::OK, &overview::form(""), "yes");
    }
    let snapshot = admin.control.snapshot();
    let age = snapshot.looked.map(|at| clock::instant().saturating_duration_since(at.instant));
    let health = dependencies::of_the_whole(admin);
    let main = overview::main(&Dashboard::of(admin, &snapshot, &health), &health, age);
    shell(admin, StatusCode::OK, &main, "no")
}

async fn file(Path(name): Path<String>, headers: HeaderMap) -> Response {
    let found = FILES.iter().find(|(file, ..)| *file == name);
    let Some((_, kind, content)) = found else {
        return error::problem(
            StatusCode::NOT_FOUND,
            "unknown_file",
            &format!("the page has no file {name:?}"),
            "GET / is the page",
        );
    };
    let make = || ([(header::CONTENT_TYPE, *kind)], *content);
    let mut answer = Tag::of_file(content).answer(&headers, make);
    let fields = answer.headers_mut();
    // Asked again each time, and answered in no more than a head.
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// What the form sends.
#[derive(Deserialize)]
struct Login {
    #[serde(default)]
    token: String,
}

async fn login(State(admin): State<Arc<Admin>>, Form(said): Form<Login>) -> Response {
    let world = admin.registry.snapshot();
    let Some(wanted) = &world.config.admin.token else { return Redirect::to("/").into_response() };
    if !token::is_it(said.token.trim(), wanted) {
        let form = overview::form("That is not the token of admin.token_file.");
        return shell(&admin, StatusCode::UNAUTHORIZED, &form, "yes");
    }
    with(session::begin(admin.listen.port(), wanted, clock::now().wall))
}

async fn logout(State(admin): State<Arc<Admin>>) -> Response {
    with(session::end(admin.listen.port()))
}

fn with(cookie: Option<HeaderValue>) -> Response {
    let mut answer = Redirect::to("/").into_response();
    answer.headers_mut().extend(cookie.map(|cookie| (header::SET_COOKIE, cookie)));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_is_served() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/admin/page/assets");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .expect("reads")
            .map(|one| one.expect("an entry").file_name().into_string().expect("a name"))
            .filter(|name| name != "shell.html")
            .collect();
        let mut served: Vec<&str> = FILES.iter().map(|(name, ..)| *name).collect();
        there.sort();
        served.sort_unstable();
        assert_eq!(there, served);
    }

    #[test]
    fn what_the_page_needs_is_named_in_no_other_place_than_its_own() {
        for (name, _, content) in FILES.iter().chain(&[("shell.html", "", SHELL)]) {
            for word in
                ["https://", "http://", "//cdn", "innerHTML", "insertAdjacentHTML", "eval(", "localStorage"]
            {
                let svg = content.matches("http://www.w3.org/2000/svg").count();
                let found = content.matches(word).count();
                assert!(found == 0 || word == "http://" && found == svg, "{word} in {name}");
            }
        }
    }
}
