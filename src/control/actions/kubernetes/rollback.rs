//! Back to the version before, as `kubectl rollout undo`: the pods' template of the ReplicaSet of the revision before takes the
//! place of the Deployment's own.
//!
//! A version that has run for long is not what has just broken: only one that was rolled out within `rollback_within` is taken
//! back, and it is taken back once. Whoever has gone back by hand has an old ReplicaSet in force, and is left alone.

use http::Method;
use serde_json::{Value, json};

use super::{BY, Call, DEPLOYMENTS, REPLICA_SETS, Trouble, Work, failed};
use crate::control::actions::hook::{Done, key};
use crate::reliability::recovery::StepResult;
use crate::runtime::clock;

/// Of Deployments and ReplicaSets: the number of the version.
const REVISION: &str = "deployment.kubernetes.io/revision";
/// Label of a ReplicaSet and its pods: the hash of their template.
const HASH: &str = "pod-template-hash";
/// Annotation of a Deployment, our own: the hash of the template that it was taken back to.
const BACK_TO: &str = "strop-rolled-back-to";

/// The version in force and the one before it.
struct Versions<'a> {
    now: &'a Value,
    before: Option<&'a Value>,
}

impl Work<'_> {
    pub(super) async fn roll_back(&self) -> Result<Done, Trouble> {
        let path = format!("{}/{}", self.api.deployments(), self.api.config.deployment);
        let (act, name) = (key(self.request), &self.api.config.deployment);
        let found = self.api.ask(Call::get(&DEPLOYMENTS, path.clone())).await?;
        if annotation(&found, BY) == Some(act.as_str()) {
            return Ok((StepResult::Done, format!("deployment {name} was taken back by this act")));
        }
        let not = |why: String| Ok((StepResult::NotPossible, why));
        if found["spec"]["paused"] == true {
            return not(format!("deployment {name} is paused: kubectl rollout resume deployment/{name}"));
        }
        let all = self.api.ask(Call::get(&REPLICA_SETS, self.replica_sets(&found))).await?;
        let versions = versions(&found, &all).ok_or_else(|| {
            failed(format!("no ReplicaSet of deployment {name} has the revision that is in force"))
        })?;
        let hash = |version: &Value| version["metadata"]["labels"][HASH].as_str().map(str::to_owned);
        if hash(versions.now).is_some() && hash(versions.now).as_deref() == annotation(&found, BACK_TO) {
            let told = format!("deployment {name} runs the version that it was taken back to");
            return Ok((StepResult::Unneeded, told));
        }
        if let Some(why) = self.too_old(versions.now) {
            return not(format!("deployment {name} {why}"));
        }
        let Some(before) = versions.before else {
            return not(format!("deployment {name} has no version before the one that runs"));
        };
        let to = hash(before).unwrap_or_default();
        let patch = patch(&found, before, &[(BY, &act), (BACK_TO, &to)]);
        let patch = Some(("application/json-patch+json", patch));
        let now = self.api.ask(Call { method: Method::PATCH, of: &DEPLOYMENTS, path, patch }).await?;
        if annotation(&now, BY) != Some(act.as_str()) {
            return Err(failed(format!("the answer's deployment {name} does not have what was written")));
        }
        let revision = |version: &Value| revision(version).unwrap_or_default();
        let (from, to) = (revision(versions.now), revision(before));
        Ok((StepResult::Done, format!("deployment {name} is taken back from revision {from} to {to}")))
    }

    /// Where its ReplicaSets are listed; whose they are in truth is said by each one's owner.
    fn replica_sets(&self, deployment: &Value) -> String {
        let labels = deployment["spec"]["selector"]["matchLabels"].as_object();
        // Letters, digits, `-`, `_`, `.` and `/` are all that labels have.
        let pairs = labels.into_iter().flatten();
        let pairs: Vec<String> =
            pairs.map(|(name, value)| format!("{name}%3D{}", value.as_str().unwrap_or_default())).collect();
        let namespace = &self.api.config.namespace;
        format!("/apis/apps/v1/namespaces/{namespace}/replicasets?labelSelector={}", pairs.join("%2C"))
    }

    /// Why a version is not what has just broken.
    fn too_old(&self, version: &Value) -> Option<String> {
        let text = version["metadata"]["creationTimestamp"].as_str().unwrap_or_default();
        let Some(since) = clock::read_moment(text) else {
            return Some("does not say since when its version is there".to_owned());
        };
        let within = self.api.config.rollback_within;
        let age = self.began.duration_since(since).unwrap_or_default();
        let minutes = within.as_secs() / 60;
        let why =
            || format!("has this version since {text}, longer than {minutes} min: it is not what has broken");
        (age > within).then(why)
    }
}

fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object["metadata"]["annotations"][name].as_str()
}

fn revision(object: &Value) -> Option<u64> {
    annotation(object, REVISION)?.parse().ok()
}

/// Of the ReplicaSets that the deployment owns; `None`: none of them is in force.
fn versions<'a>(deployment: &Value, all: &'a Value) -> Option<Versions<'a>> {
    let (uid, current) = (deployment["metadata"]["uid"].as_str()?, revision(deployment)?);
    let owned = |set: &&Value| {
        let owners = set["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|owner| owner["uid"] == uid && owner["controller"] == true)
    };
    let owned: Vec<&Value> = all["items"].as_array()?.iter().filter(owned).collect();
    let now = owned.iter().copied().find(|set| revision(set) == Some(current))?;
    let older = owned.iter().copied().filter(|set| revision(set).is_some_and(|number| number < current));
    Some(Versions { now, before: older.max_by_key(|set| revision(set)) })
}

/// The template of another version in the place of the one that is there (RFC 6902). The version of the object makes a 409 of it
/// where somebody has changed it meanwhile.
fn patch(deployment: &Value, before: &Value, annotations: &[(&str, &str)]) -> Value {
    let mut template = before["spec"]["template"].clone();
    if let Some(labels) = template.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH);
    }
    let version = &deployment["metadata"]["resourceVersion"];
    let mut all = vec![
        json!({"op": "replace", "path": "/metadata/resourceVersion", "value": version}),
        json!({"op": "replace", "path": "/spec/template", "value": template}),
    ];
    let add = |(name, value): &(&str, &str)| json!({"op": "add", "path": format!("/metadata/annotations/{name}"), "value": value});
    all.extend(annotations.iter().map(add));
    Value::Array(all)
}
