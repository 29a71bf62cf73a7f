//! `[recovery]` and `[plans.<name>]`: what is done about which incident, and how each action is done here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::hooks::{BoundHook, HookFile};
use super::kubernetes::KubernetesConfig;
use super::problem::{Collector, DAY, HOUR, Part, did_you_mean};
use super::upstream::is_known;
use super::word::{OneOf, Word, words};
use crate::names::PlanName;
use crate::reliability::recovery::{
    Action, Plan, PlanTrigger, Reach, RecoveryMode, RecoveryPolicy, Step, StepMode,
};
use crate::reliability::rule::Rule;
use crate::units::Text;

/// The table `[recovery]` as the operator writes it.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RecoveryFile {
    /// What plans may do: the kill switch.
    pub mode: OneOf<RecoveryMode>,
    /// How an action is done here, by its name.
    pub actions: BTreeMap<String, HookFile>,
}

words! {
    RecoveryMode: "mode of recovery" {
        Off = Self::Off.label(), "no plan runs, and what runs ends";
        DryRun = Self::DryRun.label(), "plans run and say what they would do";
        On = Self::On.label(), "plans run as they are written";
    }
}

words! {
    StepMode: "mode of a step" {
        Act = Self::Act.label(), "it is done";
        Ask = Self::Ask.label(), "it is done once a person has approved";
        DryRun = Self::DryRun.label(), "it is said, and not done";
    }
}

words! {
    Action: "action" {
        CircuitBreaker = Self::CircuitBreaker.label(), "hold the target's breaker open for a while";
        ConnectionReset = Self::ConnectionReset.label(), "drop pooled connections and look names up again";
        CacheClear = Self::CacheClear.label(), "empty a cache, as its hook does; without one, forget the kept answers (`stale`) of the target";
        GracefulDegradation = Self::GracefulDegradation.label(), "raise the degradation level to the first that means something, for ten minutes";
        Failover = Self::Failover.label(), "call the backup endpoints of the target for ten minutes at most; where it has none, as its hook does";
        RestartService = Self::RestartService.label(), "start the application again, as its hook or Kubernetes does";
        ScaleUp = Self::ScaleUp.label(), "more replicas, as its hook or Kubernetes does";
        ScaleDown = Self::ScaleDown.label(), "fewer replicas, as its hook or Kubernetes does";
        Rollback = Self::Rollback.label(), "the version before, as its hook or Kubernetes does";
    }
}

/// The table `[plans.<name>]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PlanFile {
    /// Incidents that one of these rules has found begin it; empty: it runs by order alone.
    pub rules: Vec<OneOf<Rule>>,
    /// About one of these upstreams, routes or resources; empty: about any.
    pub services: Vec<String>,
    /// About one of these parts of it; empty: about any.
    pub scopes: Vec<String>,
    /// Begin as soon as it is suspected, not only when it is confirmed.
    pub early: bool,
    /// What is done, one after the other, until the condition is over.
    pub steps: Vec<StepFile>,
    /// Passes over the steps, at most; then people are called.
    pub max_attempts: u32,
    /// Between two passes.
    pub retry_delay: Text<Duration>,
    /// How long after a step the condition may take to be over, before the next step.
    pub verify: Text<Duration>,
    /// How long the condition must be over before the plan has worked.
    pub verify_for: Text<Duration>,
    /// From the end of a run to the next one about the same target.
    pub cooldown: Text<Duration>,
    /// How long an approval is waited for.
    pub approve_within: Text<Duration>,
}

/// The numbers are ours, but for attempts and delays, which the guide's table gives each plan.
impl Default for PlanFile {
    fn default() -> Self {
        Self {
            rules: Vec::new(),
            services: Vec::new(),
            scopes: Vec::new(),
            early: false,
            steps: Vec::new(),
            max_attempts: 3,
            retry_delay: Text(Duration::from_secs(30)),
            verify: Text(Duration::from_secs(20)),
            verify_for: Text(Duration::from_secs(10)),
            cooldown: Text(Duration::from_secs(600)),
            approve_within: Text(Duration::from_secs(900)),
        }
    }
}

/// One step: `{ action = "connection_reset" }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct StepFile {
    pub action: OneOf<Action>,
    /// Absent: `act` for what stays within this process, `dry_run` for what changes the application.
    #[serde(default)]
    pub mode: Option<OneOf<StepMode>>,
    /// Absent: as the plan says.
    #[serde(default)]
    pub verify: Option<Text<Duration>>,
}

/// Everything that recovery is configured with.
#[derive(Clone, Debug, Default)]
pub struct RecoveryConfig {
    pub policy: Arc<RecoveryPolicy>,
    /// Actions that something outside this process does.
    pub hooks: BTreeMap<Action, BoundHook>,
    /// The cluster that does some of the others.
    pub kubernetes: Option<Arc<KubernetesConfig>>,
}

/// By what the actions are done that Strop does not do itself.
#[derive(Clone, Copy)]
struct Doers<'a> {
    hooks: &'a BTreeMap<String, HookFile>,
    kubernetes: Option<&'a KubernetesConfig>,
    /// Some upstream has backup endpoints.
    backup: bool,
}

impl Doers<'_> {
    /// What is done of a step that is to be done in this way; `None`: nobody does it.
    fn mode(&self, action: Action, mode: StepMode) -> Option<StepMode> {
        let name = action.label();
        match self.kubernetes.filter(|_| action.is_of_cluster()) {
            _ if action.reach() == Reach::Own || mode == StepMode::DryRun => Some(mode),
            // Without a hook the kept answers are forgotten.
            _ if action == Action::CacheClear || self.hooks.contains_key(name) => Some(mode),
            _ if action == Action::Failover && self.backup => Some(mode),
            Some(kubernetes) if kubernetes.enabled => Some(mode),
            Some(_) => Some(StepMode::DryRun),
            None => None,
        }
    }
}

impl RecoveryFile {
    /// Checks both tables; `backed`: upstreams that have backup endpoints.
    pub(super) fn check(
        &self,
        plans: &BTreeMap<String, PlanFile>,
        (upstreams, backed): (&[&str], &[&str]),
        kubernetes: Option<Arc<KubernetesConfig>>,
        problems: &mut Collector<'_>,
    ) -> RecoveryConfig {
        let mut hooks = BTreeMap::new();
        for (name, written) in &self.actions {
            let mut at = problems.part(format!("recovery.actions.{name}"));
            let Some(action) = Action::named(name) else {
                let words = || Action::WORDS.iter().map(|(_, word, _)| *word);
                let (guess, all) = (did_you_mean(name, words()), words().collect::<Vec<_>>().join(", "));
                at.add("", format!("{name:?} is no action{guess}; write one of {all}"));
                continue;
            };
            if action.reach() == Reach::Own {
                at.add("", format!("{name} is done by Strop itself: take the table out"));
            } else if let Some(hook) = written.check(at, action) {
                hooks.insert(action, hook);
            }
        }
        let doers =
            Doers { hooks: &self.actions, kubernetes: kubernetes.as_deref(), backup: !backed.is_empty() };
        let plans = plans.iter().filter_map(|(name, written)| {
            written.check(problems.part(format!("plans.{name}")), name, doers, upstreams)
        });
        let policy = RecoveryPolicy { mode: self.mode.0, plans: plans.collect() };
        RecoveryConfig { policy: Arc::new(policy), hooks, kubernetes }
    }
}

impl PlanFile {
    fn check(&self, mut at: Part<'_, '_>, name: &str, doers: Doers<'_>, upstreams: &[&str]) -> Option<Plan> {
        let named = at.take("", PlanName::new(name));
        if self.steps.is_empty() {
            at.add("steps", "does nothing; write steps = [{ action = \"connection_reset\" }]");
        }
        self.check_services(&mut at, upstreams);
        let verify = at.lasts("verify", self.verify, 1, HOUR);
        let steps: Vec<Step> = self
            .steps
            .iter()
            .enumerate()
            .map(|(nth, step)| step.check(at.part(&format!("steps.{nth}")), verify, doers))
            .collect();
        let trigger = PlanTrigger {
            rules: self.rules.iter().map(|rule| rule.0).collect(),
            services: self.services.iter().map(|name| Arc::from(name.as_str())).collect(),
            scopes: self.scopes.iter().map(|name| Arc::from(name.as_str())).collect(),
            early: self.early,
        };
        Some(Plan {
            name: named?.text(),
            trigger,
            steps,
            max_attempts: at.within("max_attempts", self.max_attempts, 1, 10),
            retry_delay: at.lasts("retry_delay", self.retry_delay, 1, HOUR),
            verify_for: at.lasts("verify_for", self.verify_for, 1, HOUR),
            cooldown: at.lasts("cooldown", self.cooldown, 0, 7 * DAY),
            approve_within: at.lasts("approve_within", self.approve_within, 10, DAY),
        })
    }

    /// A name that no rule will ever say would leave the plan asleep for ever.
    fn check_services(&self, at: &mut Part<'_, '_>, upstreams: &[&str]) {
        if self.rules.is_empty() || !self.rules.iter().all(|rule| rule.0.is_of_upstream()) {
            return;
        }
        for (nth, name) in self.services.iter().enumerate() {
            if !is_known(name) {
                at.known(&format!("services.{nth}"), name, ("upstream", "upstreams"), upstreams);
            }
        }
    }
}

impl StepFile {
    fn check(&self, mut at: Part<'_, '_>, verify: Duration, doers: Doers<'_>) -> Step {
        let action = self.action.0;
        let mode = self.mode.map_or_else(|| default_mode(action), |mode| mode.0);
        let mode = doers.mode(action, mode).unwrap_or_else(|| {
            let name = action.label();
            let cluster = if action.is_of_cluster() { ", or [kubernetes]" } else { "" };
            let told = format!(
                "nothing here does {name}: write [recovery.actions.{name}]{cluster}, or mode = \"dry_run\""
            );
            at.add("action", told);
            mode
        });
        let verify = self.verify.map_or(verify, |written| at.lasts("verify", written, 1, HOUR));
        Step { action, mode, verify }
    }
}

/// What changes the application is only tried out until somebody says otherwise. So is forgetting kept answers, although they are
/// Strop's own: they stand in for the very outage that begins a plan, and nothing brings them back while it lasts.
fn default_mode(action: Action) -> StepMode {
    match action.reach() {
        Reach::Own => StepMode::Act,
        Reach::Application => StepMode::DryRun,
    }
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;

    const SMALLEST: &str = "[ingress]\n[upstreams.backend]\nendpoints = [\"127.0.0.1:8001\"]\n";

    fn of(more: &str) -> Result<RecoveryConfig, String> {
        let read = load(&format!("{SMALLEST}{more}"), "a test", &[]);
        read.map(|config| config.recovery).map_err(|problems| {
            problems.all.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("\n")
        })
    }

    #[test]
    fn what_changes_the_application_is_only_said_until_somebody_says_otherwise() {
        let config = of(r#"
            [plans.api_failure]
            rules = ["service_down"]
            services = ["backend"]
            steps = [{ action = "connection_reset" }, { action = "restart_service" }, { action = "scale_up", verify = "5m" }]
        "#)
        .expect("runs");
        let plan = &config.policy.plans[0];
        let modes: Vec<StepMode> = plan.steps.iter().map(|step| step.mode).collect();
        assert_eq!(modes, [StepMode::Act, StepMode::DryRun, StepMode::DryRun]);
        let verify: Vec<u64> = plan.steps.iter().map(|step| step.verify.as_secs()).collect();
        assert_eq!((plan.max_attempts, verify), (3, vec![20, 20, 300]));
        assert_eq!(config.policy.mode, RecoveryMode::On);
        assert_eq!(of("").expect("runs").policy.plans, []);
    }

    #[test]
    fn kept_answers_are_forgotten_only_where_that_is_written() {
        let mode = |step: &str| {
            let config = of(&format!("[plans.a]\nsteps = [{{ action = \"cache_clear\"{step} }}]\n"));
            config.expect("runs").policy.plans[0].steps[0].mode
        };
        assert_eq!(mode(""), StepMode::DryRun, "they stand in for the outage that began the plan");
        assert_eq!(mode(", mode = \"act\""), StepMode::Act, "no hook is needed");
    }

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        for (more, wanted) in [
            ("[plans.a]\n", "write steps = ["),
            (
                "[plans.a]\nsteps = [{ action = \"restart_service\", mode = \"act\" }]\n",
                "[recovery.actions.restart_service]",
            ),
            ("[plans.a]\nsteps = [{ action = \"restart\" }]\n", "is no action"),
            (
                "[plans.a]\nrules = [\"service_down\"]\nservices = [\"bakend\"]\nsteps = [{ action = \"connection_reset\" }]\n",
                "did you mean \"backend\"?",
            ),
            (
                "[plans.a]\nmax_attempts = 0\nsteps = [{ action = \"connection_reset\" }]\n",
                "is not within 1 to 10",
            ),
            (
                "[recovery.actions.restart_servce]\nexec = [\"/bin/true\"]\n",
                "did you mean \"restart_service\"?",
            ),
            ("[recovery.actions.connection_reset]\nexec = [\"/bin/true\"]\n", "done by Strop itself"),
            ("[recovery.actions.failover]\n", "write exactly one of"),
            ("[recovery.actions.failover]\nexec = [\"true\"]\n", "no absolute path"),
            ("[recovery.actions.cache_clear]\n", "url_file, redis and pid_file"),
            ("[recovery.actions.cache_clear]\nredis = \"redis://h\"\n", "all keys would be removed"),
            (
                "[recovery.actions.cache_clear]\nexec = [\"/bin/true\"]\nprefix = \"a\"\n",
                "is of no use without redis",
            ),
            ("[recovery.actions.failover]\nredis = \"redis://h\"\nprefix = \"a\"\n", "no way to do failover"),
            ("[recovery]\nmode = \"no\"\n", "mode of recovery"),
        ] {
            let told = of(more).expect_err(more);
            assert!(told.contains(wanted), "{more}: {told}");
        }
    }
}
