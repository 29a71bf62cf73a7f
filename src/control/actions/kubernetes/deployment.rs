//! A rollout restart of a Deployment, and one step of its scale.

use http::Method;
use serde_json::{Value, json};

use super::{BY, Call, DEPLOYMENTS, SCALE, Trouble, Work, failed};
use crate::control::actions::hook::{Done, key};
use crate::reliability::recovery::{Action, StepResult};
use crate::runtime::clock;

/// What `kubectl rollout restart` writes.
const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

impl Work<'_> {
    /// As `kubectl rollout restart`: another annotation of the pods' template.
    pub(super) async fn restart(&self) -> Result<Done, Trouble> {
        let path = format!("{}/{}", self.api.deployments(), self.api.config.deployment);
        let (act, at) = (key(self.request), clock::rfc3339(self.began));
        let found = self.api.ask(Call::get(&DEPLOYMENTS, path.clone())).await?;
        let name = &self.api.config.deployment;
        if annotation(&found, BY) == Some(act.as_str()) {
            return Ok((StepResult::Done, format!("deployment {name} was restarted by this act")));
        }
        let annotations = json!({ RESTARTED_AT: at, BY: act });
        let patch = json!({ "spec": { "template": { "metadata": { "annotations": annotations } } } });
        let patch = Some(("application/strategic-merge-patch+json", patch));
        let now = self.api.ask(Call { method: Method::PATCH, of: &DEPLOYMENTS, path, patch }).await?;
        if annotation(&now, RESTARTED_AT) != Some(at.as_str()) {
            return Err(failed(format!("the answer's deployment {name} does not have what was written")));
        }
        Ok((StepResult::Done, format!("deployment {name} is restarted ({RESTARTED_AT}: {at})")))
    }

    /// One step up or down, within the bounds.
    pub(super) async fn scale(&mut self) -> Result<Done, Trouble> {
        let (path, name) = (
            format!("{}/{}/scale", self.api.deployments(), self.api.config.deployment),
            &self.api.config.deployment,
        );
        if let Some(autoscaler) = self.api.autoscaler().await? {
            if self.request.action == Action::ScaleUp {
                return self.raise(&autoscaler).await;
            }
            let told = format!("{} owns deployment {name}, and it is not fought", autoscaler.told());
            return Ok((StepResult::NotPossible, told));
        }
        let found = self.api.ask(Call::get(&SCALE, path.clone())).await?;
        // What is 0 is left out.
        let has = found.pointer("/spec/replicas").and_then(Value::as_u64).unwrap_or(0);
        let (by, (least, most)) = (u64::from(self.api.config.scale_by), self.api.config.replicas);
        let up = self.request.action == Action::ScaleUp;
        let next = if up {
            has.saturating_add(by).min(u64::from(most)).max(has)
        } else {
            has.saturating_sub(by).max(u64::from(least)).min(has)
        };
        let wanted = *self.replicas.get_or_insert(next);
        if (up && has >= wanted) || (!up && has <= wanted) {
            // With a first read alone there is nothing to do; after another one it was done meanwhile.
            return Ok(if next == has && wanted == has {
                (
                    StepResult::Unneeded,
                    format!("deployment {name} has {has} replicas, its bounds are {least} to {most}"),
                )
            } else {
                (StepResult::Done, format!("deployment {name} has {has} replicas"))
            });
        }
        // Whoever has scaled it meanwhile is not overruled: 409.
        let version = found.pointer("/metadata/resourceVersion").cloned().unwrap_or_default();
        let mut patch = json!({ "spec": { "replicas": wanted } });
        if version.is_string() {
            patch["metadata"] = json!({ "resourceVersion": version });
        }
        let patch = Some(("application/merge-patch+json", patch));
        let now = self.api.ask(Call { method: Method::PATCH, of: &SCALE, path, patch }).await?;
        if now.pointer("/spec/replicas").and_then(Value::as_u64) != Some(wanted) {
            return Err(failed(format!("the answer's deployment {name} does not have {wanted} replicas")));
        }
        Ok((StepResult::Done, format!("deployment {name} is scaled from {has} to {wanted} replicas")))
    }
}

fn annotation<'a>(deployment: &'a Value, name: &str) -> Option<&'a str> {
    deployment["spec"]["template"]["metadata"]["annotations"][name].as_str()
}
