//! Kubernetes: a rollout restart, scaling and rolling back of the application's Deployment, by plain HTTPS.
//!
//! What is there is read first, so that what was done is not done again; then one PATCH. What may pass (409, 429, 5xx, no
//! connection) is tried again within bounds; what will not is told in the API server's words.

mod autoscaler;
mod deployment;
mod rollback;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::hook::Done;
use crate::config::{ClientTls, KubernetesConfig};
use crate::net::addresses::Addresses;
use crate::net::client::{self, ClientError, WebRequest};
use crate::net::http::{Bound, HttpAnswer};
use crate::reliability::recovery::{ActRequest, Action, StepResult};
use crate::reliability::retry_after::parse_retry_after;
use crate::runtime::clock;
use crate::telemetry::event::NamesEvent;

/// A token of a pod rotates; it is read again after this long.
const TOKEN: Duration = Duration::from_secs(60);
/// Attempts at one act, and the wait after the first; it doubles.
const ATTEMPTS: u32 = 5;
const WAIT: Duration = Duration::from_millis(500);
/// `Retry-After` is believed up to this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Objects are at most 1.5 MiB in etcd, by default.
const READ: Bound = Bound { bytes: 4 << 20, within: Duration::from_secs(10) };
/// Of a message of the API server so much is shown.
const SHOWN: usize = 300;

/// Annotation of what was changed: by which act.
const BY: &str = "strop-act";

/// A kind of object: its API group, its name there, and what the role must allow for all actions together.
struct Resource {
    group: &'static str,
    name: &'static str,
    #[cfg(test)]
    verbs: &'static [&'static str],
}

const DEPLOYMENTS: Resource = Resource {
    group: "apps",
    name: "deployments",
    #[cfg(test)]
    verbs: &["get", "patch"],
};
const REPLICA_SETS: Resource = Resource {
    group: "apps",
    name: "replicasets",
    #[cfg(test)]
    verbs: &["list"],
};
const SCALE: Resource = Resource {
    group: "apps",
    name: "deployments/scale",
    #[cfg(test)]
    verbs: &["get", "patch"],
};
const AUTOSCALERS: Resource = Resource {
    group: "autoscaling",
    name: "horizontalpodautoscalers",
    #[cfg(test)]
    verbs: &["list", "patch"],
};

/// Why there is no good answer.
enum Trouble {
    /// It will be no better the next time.
    Final(Done),
    /// It may pass.
    Passing { told: Done, wait: Option<Duration> },
}

/// What is asked of the API server.
struct Call<'a> {
    method: Method,
    of: &'a Resource,
    path: String,
    /// Its media type, and the patch itself.
    patch: Option<(&'static str, Value)>,
}

/// A token as it was read.
struct Token {
    file: PathBuf,
    read: Instant,
    text: SecretString,
}

/// Speaks to the API server.
pub(super) struct Cluster {
    addresses: Addresses,
    token: Mutex<Option<Token>>,
    /// An autoscaler may have to be let down again.
    raised: AtomicBool,
}

impl Default for Cluster {
    fn default() -> Self {
        Self {
            addresses: Addresses::system(NamesEvent::tell_of_receiver),
            token: Mutex::default(),
            raised: AtomicBool::new(true),
        }
    }
}

/// The API server as one act, or one look, speaks to it.
struct Api<'a> {
    cluster: &'a Cluster,
    config: &'a KubernetesConfig,
    tls: client::Tls,
}

/// One act: what it wants is decided once, however often it is tried.
struct Work<'a> {
    api: Api<'a>,
    request: &'a ActRequest,
    began: SystemTime,
    replicas: Option<u64>,
}

impl Cluster {
    /// Does it, within its time.
    pub(super) async fn run(&self, config: &KubernetesConfig, request: &ActRequest) -> Done {
        let mut work = Work { api: self.api(config), request, began: clock::now().wall, replicas: None };
        let done = tokio::time::timeout(config.within, work.through()).await;
        done.unwrap_or_else(|_| {
            (StepResult::Unknown, format!("{} did not answer within {:?}", config.server, config.within))
        })
    }

    fn api<'a>(&'a self, config: &'a KubernetesConfig) -> Api<'a> {
        let roots =
            ClientTls { ca_file: Some(config.ca_file.clone()), only_ca_file: true, ..ClientTls::default() };
        Api { cluster: self, config, tls: client::web_tls(&roots) }
    }

    /// The bearer token, at most a minute old.
    fn token(&self, config: &KubernetesConfig) -> Result<String, String> {
        let mut held = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::instant();
        let fresh = |token: &&mut Token| {
            token.file == config.token_file && now.saturating_duration_since(token.read) < TOKEN
        };
        if let Some(token) = held.as_mut().filter(fresh) {
            return Ok(token.text.expose_secret().to_owned());
        }
        let file = &config.token_file;
        let text = crate::runtime::files::read_to_string(file)
            .map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
        let text = text.trim().to_owned();
        *held = Some(Token { file: file.clone(), read: now, text: SecretString::from(text.clone()) });
        Ok(text)
    }

    fn forget_token(&self) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Work<'_> {
    async fn through(&mut self) -> Done {
        let mut last = (StepResult::Failed, String::new());
        for attempt in 0..ATTEMPTS {
            let tried = match self.request.action {
                Action::RestartService => self.restart().await,
                Action::ScaleUp | Action::ScaleDown => self.scale().await,
                Action::Rollback => self.roll_back().await,
                Action::CircuitBreaker
                | Action::ConnectionReset
                | Action::CacheClear
                | Action::GracefulDegradation
                | Action::Failover => {
                    Ok((StepResult::NotPossible, "Kubernetes does not do that here".to_owned()))
                }
            };
            match tried {
                Ok(done) | Err(Trouble::Final(done)) => return done,
                Err(Trouble::Passing { told, wait }) => {
                    last = told;
                    if attempt + 1 < ATTEMPTS {
                        tokio::time::sleep(wait.unwrap_or(WAIT * (1 << attempt))).await;
                    }
                }
            }
        }
        (last.0, format!("{} ({ATTEMPTS} attempts)", last.1))
    }
}

impl Api<'_> {
    fn deployments(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/deployments", self.config.namespace)
    }

    async fn ask(&self, call: Call<'_>) -> Result<Value, Trouble> {
        let token = self.cluster.token(self.config).map_err(failed)?;
        let mut fields =
            vec![("accept", "application/json".to_owned()), ("authorization", format!("Bearer {token}"))];
        let mut body = Vec::new();
        if let Some((media, patch)) = &call.patch {
            fields.push(("content-type", (*media).to_owned()));
            body = patch.to_string().into_bytes();
        }
        let (method, path) = (call.method.clone(), call.path.as_str());
        let asked = WebRequest { method, url: &self.config.server, path, fields, body };
        match client::ask(&self.cluster.addresses, &self.tls, asked, READ).await {
            Ok(answer) => self.read(&call, &answer),
            Err(error @ (ClientError::Names(_) | ClientError::Connect(_))) => {
                Err(Trouble::Passing { told: (StepResult::Failed, error.to_string()), wait: None })
            }
            Err(error @ ClientError::Broken(_)) => {
                // It may have been done.
                let result = if call.patch.is_some() { StepResult::Unknown } else { StepResult::Failed };
                Err(Trouble::Passing { told: (result, error.to_string()), wait: None })
            }
            Err(error @ (ClientError::NoTls(_) | ClientError::Tls(_) | ClientError::Unwritable(_))) => {
                Err(failed(error.to_string()))
            }
        }
    }

    fn read(&self, call: &Call<'_>, answer: &HttpAnswer) -> Result<Value, Trouble> {
        let status = answer.head.status;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        if status.is_success() {
            let object = body.is_object().then_some(body);
            return object
                .ok_or_else(|| failed(format!("{}: {status} with a body that is no object", call.path)));
        }
        let said = body["message"].as_str().unwrap_or_default();
        let said: String = said.chars().take(SHOWN).collect();
        let Call { method, path, of, .. } = call;
        let told =
            format!("{method} {path}: {}{}{said}", status.as_u16(), if said.is_empty() { "" } else { ": " });
        match status {
            StatusCode::UNAUTHORIZED => {
                // A token that has just been rotated is read anew.
                self.cluster.forget_token();
                let told = (StepResult::Failed, format!("the token is not accepted: {told}"));
                Err(Trouble::Passing { told, wait: None })
            }
            StatusCode::FORBIDDEN => Err(failed(format!(
                "the role does not allow it: grant verb {} on resource {} of group {}: {told}",
                call.verb(),
                of.name,
                of.group
            ))),
            StatusCode::CONFLICT | StatusCode::TOO_MANY_REQUESTS => Err(self.passing(answer, told)),
            _ if status.is_server_error() => Err(self.passing(answer, told)),
            _ => Err(failed(told)),
        }
    }

    fn passing(&self, answer: &HttpAnswer, told: String) -> Trouble {
        let wall = clock::unix_seconds(clock::now().wall);
        let asked = answer.head.headers.get(http::header::RETRY_AFTER).and_then(|text| text.to_str().ok());
        let wait = asked.and_then(|text| parse_retry_after(text, wall, PATIENCE));
        Trouble::Passing { told: (StepResult::Failed, told), wait }
    }
}

impl<'a> Call<'a> {
    fn get(of: &'a Resource, path: String) -> Self {
        Self { method: Method::GET, of, path, patch: None }
    }

    /// As a role says it.
    fn verb(&self) -> &'static str {
        match (&self.patch, self.of.name) {
            (Some(_), _) => "patch",
            (None, name) if name == AUTOSCALERS.name || name == REPLICA_SETS.name => "list",
            (None, _) => "get",
        }
    }
}

fn failed(why: String) -> Trouble {
    Trouble::Final((StepResult::Failed, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A rule of the role file: group, resource, verbs, and the names that it is for.
    type Rule = (String, String, Vec<String>, Vec<String>);

    fn shipped_role() -> Vec<Rule> {
        let list = |rule: &str, key: &str| -> Vec<String> {
            let line = rule.lines().find_map(|line| line.trim().strip_prefix(key));
            let inner = line.and_then(|line| line.split_once('[')?.1.split_once(']')).map(|(inner, _)| inner);
            let words = inner.into_iter().flat_map(|inner| inner.split(','));
            words.map(|word| word.trim().trim_matches('"').to_owned()).collect()
        };
        let of = |rule: &str| {
            let [groups, resources] = ["apiGroups:", "resources:"].map(|key| list(rule, key).join(","));
            (groups, resources, list(rule, "verbs:"), list(rule, "resourceNames:"))
        };
        let file = shipped("role.yaml");
        let role = file.split("\n---").next().expect("it is first");
        role.split("\n  - ").skip(1).map(of).collect()
    }

    fn shipped(name: &str) -> String {
        let file = format!("{}/deploy/kubernetes/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read_to_string(file).expect("it is shipped")
    }

    #[test]
    fn the_shipped_role_allows_exactly_what_the_actions_need() {
        let rules = shipped_role();
        let needed = [&DEPLOYMENTS, &REPLICA_SETS, &SCALE, &AUTOSCALERS];
        for one in needed {
            let of = rules.iter().filter(|rule| (rule.0.as_str(), rule.1.as_str()) == (one.group, one.name));
            let verbs: Vec<&String> = of.flat_map(|rule| &rule.2).collect();
            assert_eq!(verbs, one.verbs, "{}", one.name);
        }
        let verbs = |one: &Resource| one.verbs.len();
        let all: usize = rules.iter().map(|rule| rule.2.len()).sum();
        assert_eq!(all, needed.map(verbs).iter().sum::<usize>(), "and nothing else: {rules:?}");
    }

    /// A list has no name in it; everything else is of the backend's own.
    #[test]
    fn the_shipped_role_is_of_the_shipped_deployment_alone() {
        assert!(shipped("deployment.yaml").contains("\n  name: bookedbarber\n"));
        for (_, resource, verbs, names) in shipped_role() {
            let own: &[&str] = if verbs == ["list"] { &[] } else { &["bookedbarber"] };
            assert_eq!(names, own, "{verbs:?} {resource}");
        }
    }
}
