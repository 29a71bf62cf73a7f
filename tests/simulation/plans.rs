//! Plans as chance makes them.

use std::sync::Arc;
use std::time::Duration;

use strop::reliability::recovery::{Action, Plan, PlanTrigger, Step, StepMode};
use strop::reliability::rule::Rule;

use crate::dice::Dice;

/// What may fall ill; each has a plan.
pub const SERVICES: [&str; 6] = ["api", "database", "redis", "sendgrid", "stripe", "twilio"];

pub fn plans(dice: &mut Dice) -> Vec<Plan> {
    let all = Action::ALL;
    SERVICES
        .iter()
        .map(|service| {
            let steps = (0..1 + dice.below(4)).map(|_| Step {
                action: dice.one_of(&all),
                mode: dice.one_of(&[
                    StepMode::Act,
                    StepMode::Act,
                    StepMode::Act,
                    StepMode::Ask,
                    StepMode::DryRun,
                ]),
                verify: Duration::from_secs(5 + dice.below(30)),
            });
            Plan {
                name: Arc::from(format!("{service}_failure")),
                steps: steps.collect(),
                trigger: PlanTrigger {
                    rules: vec![Rule::ServiceDown, Rule::Breaker],
                    services: vec![Arc::from(*service)],
                    scopes: Vec::new(),
                    early: dice.chance(0.3),
                },
                max_attempts: 1 + dice.below(3) as u32,
                retry_delay: Duration::from_secs(1 + dice.below(60)),
                verify_for: Duration::from_secs(1 + dice.below(20)),
                cooldown: Duration::from_secs(dice.below(600)),
                approve_within: Duration::from_secs(10 + dice.below(120)),
            }
        })
        .collect()
}
