//! A HorizontalPodAutoscaler that owns the Deployment: whoever fights it loses. It is told of a higher `minReplicas`, for a while.
//!
//! What it was before and until when stand in its own annotations, so that any sidecar of any pod lets it down again, whatever
//! has become of the one that raised it. Whoever has changed it meanwhile is not overruled.

use std::sync::atomic::Ordering;

use http::Method;
use serde_json::{Value, json};

use super::{AUTOSCALERS, Api, BY, Call, Cluster, Trouble, Work, failed};
use crate::config::KubernetesConfig;
use crate::control::actions::hook::{Done, key};
use crate::reliability::recovery::StepResult;
use crate::runtime::clock;

/// Annotations: what `minReplicas` was, what it was raised to, and until when.
const WAS: &str = "strop-min-replicas-was";
const SET: &str = "strop-min-replicas-set";
const UNTIL: &str = "strop-min-replicas-until";

/// As the API server shows it.
pub(super) struct Autoscaler(Value);

impl Autoscaler {
    fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub(super) fn told(&self) -> String {
        format!("autoscaler {}", self.name())
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.0["metadata"]["annotations"][name].as_str()
    }

    fn number(&self, path: &str) -> Option<u64> {
        self.0.pointer(path).and_then(Value::as_u64)
    }

    /// `minReplicas`; what is left out is 1.
    fn least(&self) -> u64 {
        self.number("/spec/minReplicas").unwrap_or(1)
    }
}

impl Api<'_> {
    /// The first version of the API: each server has it (the second came with 1.23), and what it has no fields for stays as it is.
    fn autoscalers(&self) -> String {
        format!("/apis/autoscaling/v1/namespaces/{}/horizontalpodautoscalers", self.config.namespace)
    }

    /// The autoscaler that owns the Deployment.
    pub(super) async fn autoscaler(&self) -> Result<Option<Autoscaler>, Trouble> {
        let all = self.ask(Call::get(&AUTOSCALERS, self.autoscalers())).await?;
        let Some(all) = all["items"].as_array() else {
            return Err(failed("the list of autoscalers is none".to_owned()));
        };
        let owner = all.iter().find(|one| {
            let target = &one["spec"]["scaleTargetRef"];
            target["kind"] == "Deployment" && target["name"] == *self.config.deployment
        });
        Ok(owner.cloned().map(Autoscaler))
    }

    /// Somebody who has changed it since makes a 409 of it.
    async fn change(
        &self,
        one: &Autoscaler,
        annotations: Value,
        least: Option<u64>,
    ) -> Result<Autoscaler, Trouble> {
        let version = &one.0["metadata"]["resourceVersion"];
        let mut patch = json!({"metadata": {"resourceVersion": version, "annotations": annotations}});
        if let Some(least) = least {
            patch["spec"] = json!({"minReplicas": least});
        }
        let path = format!("{}/{}", self.autoscalers(), one.name());
        let patch = Some(("application/merge-patch+json", patch));
        let call = Call { method: Method::PATCH, of: &AUTOSCALERS, path, patch };
        self.ask(call).await.map(Autoscaler)
    }
}

impl Work<'_> {
    /// One step up, by the autoscaler's own means.
    pub(super) async fn raise(&mut self, one: &Autoscaler) -> Result<Done, Trouble> {
        let (config, act) = (self.api.config, key(self.request));
        let has = one.least();
        if one.annotation(BY) == Some(act.as_str()) {
            return Ok((StepResult::Done, format!("{} has at least {has} replicas by this act", one.told())));
        }
        let most = one.number("/spec/maxReplicas").unwrap_or(has).min(u64::from(config.replicas.1));
        let runs = one.number("/status/currentReplicas").unwrap_or(0).max(has);
        let next = runs.saturating_add(u64::from(config.scale_by)).min(most);
        let wanted = *self.replicas.get_or_insert(next);
        if wanted <= has {
            let told = format!("{} has at least {has} replicas, and at most {most}", one.told());
            return Ok((StepResult::Unneeded, told));
        }
        let until = clock::rfc3339(self.began + config.raised_for);
        // What it was before the first of several raises is what it goes back to.
        let was = one.annotation(WAS).map_or_else(|| has.to_string(), str::to_owned);
        let annotations = json!({BY: act, WAS: was, SET: wanted.to_string(), UNTIL: until});
        self.api.cluster.raised.store(true, Ordering::Relaxed);
        let changed = self.api.change(one, annotations, Some(wanted)).await;
        // A look that saw what was before has forgotten that it is on its way.
        self.api.cluster.raised.store(true, Ordering::Relaxed);
        let now = changed?;
        if now.least() != wanted {
            return Err(failed(format!("the answer's {} does not have {wanted} replicas", one.told())));
        }
        let told = format!(
            "{} is told of at least {wanted} replicas in the place of {has}, until {until}",
            one.told()
        );
        Ok((StepResult::Done, told))
    }
}

impl Cluster {
    /// May there be an autoscaler to let down?
    pub(in crate::control::actions) fn may_have_raised(&self) -> bool {
        self.raised.load(Ordering::Relaxed)
    }

    /// Lets an autoscaler down whose time is over; in words what was done. What fails is tried again at the next look.
    pub(in crate::control::actions) async fn let_down(&self, config: &KubernetesConfig) -> Option<String> {
        let api = self.api(config);
        // What is raised while this looks stays raised, whatever it has seen.
        let before = self.raised.swap(false, Ordering::Relaxed);
        let Ok(Ok(found)) = tokio::time::timeout(config.within, api.autoscaler()).await else {
            self.raised.fetch_or(before, Ordering::Relaxed);
            return None;
        };
        let one = found.filter(|one| one.annotation(UNTIL).is_some())?;
        self.raised.store(true, Ordering::Relaxed);
        let until = one.annotation(UNTIL).and_then(clock::read_moment);
        if until.is_some_and(|until| until > clock::now().wall) {
            return None;
        }
        let number = |name: &str| one.annotation(name).and_then(|text| text.parse::<u64>().ok());
        let ours = number(SET) == Some(one.least());
        let back = number(WAS).filter(|_| ours);
        let nothing = json!({WAS: null, SET: null, UNTIL: null});
        let changed = tokio::time::timeout(config.within, api.change(&one, nothing, back)).await;
        changed.ok()?.ok()?;
        Some(match back {
            Some(was) => format!("{} has at least {was} replicas again", one.told()),
            None => format!("{} was changed by somebody else and stays", one.told()),
        })
    }
}
