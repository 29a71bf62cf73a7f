//! A runbook as it is written in YAML, and its check: every problem with its line, and what to write instead.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_saphyr::Spanned;

use crate::config::problem::did_you_mean;
use crate::config::word::Word;
use crate::names::PlanName;
use crate::reliability::readings::Resource;
use crate::reliability::recovery::Action;
use crate::reliability::rule::Rule;
use crate::reliability::runbook::{
    CheckKind, CheckPercentile, Runbook, RunbookCheck, RunbookScope, RunbookStep, RunbookStepKind,
};
use crate::units::{Percent, Written};

/// Steps of a runbook.
const STEPS: usize = 64;
/// Checks among them.
const CHECKS: usize = 16;
/// Characters of a text.
const TEXT: usize = 500;
/// Rules, services or plans that a runbook is for.
const SCOPE: usize = 32;

type Line = Spanned<String>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RunbookFile {
    name: Line,
    title: Line,
    #[serde(default, rename = "for")]
    scope: ScopeFile,
    steps: Vec<Spanned<StepFile>>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ScopeFile {
    rules: Vec<Line>,
    services: Vec<Line>,
    plans: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StepFile {
    part: Option<Line>,
    check: Option<Line>,
    auto: Option<Line>,
    ask: Option<Line>,
    note: Option<Line>,
    text: Option<Line>,
    of: Option<Line>,
    at_most: Option<Line>,
    percentile: Option<Line>,
    plan: Option<Line>,
}

/// Problems by their lines.
#[derive(Default)]
struct LineProblems(Vec<(u64, String)>);

impl LineProblems {
    fn add(&mut self, line: u64, problem: impl Into<String>) {
        self.0.push((line, problem.into()));
    }

    /// The word of a closed set.
    fn word(&mut self, said: &Line, what: &str, known: &[&str]) -> bool {
        let word = said.value.as_str();
        let found = known.contains(&word);
        if !found {
            let guess = did_you_mean(word, known.iter().copied());
            self.add(line(said), format!("{word:?} is no {what}{guess}; write one of {}", known.join(", ")));
        }
        found
    }

    fn unit<T: Written>(&mut self, said: &Line) -> Option<T> {
        let read = T::read(&said.value);
        if read.is_none() {
            self.add(line(said), format!("{:?} is none; write {}", said.value, T::LIKE));
        }
        read
    }

    /// One line of text.
    fn text(&mut self, said: &Line, what: &str) -> String {
        let text = said.value.trim();
        let long = text.chars().count();
        if text.is_empty() {
            self.add(line(said), format!("{what} is empty"));
        } else if long > TEXT {
            self.add(line(said), format!("{what} has {long} characters, at most {TEXT} are taken"));
        } else if text.contains(char::is_control) {
            self.add(
                line(said),
                format!("{what} has a line break or another control character; write it on one line"),
            );
        }
        text.to_owned()
    }
}

fn line(of: &Line) -> u64 {
    of.referenced.line()
}

/// Reads one; `Err`: all that is wrong with it, each with its line.
pub fn runbook(text: &str) -> Result<Runbook, Vec<(u64, String)>> {
    let read: RunbookFile = serde_saphyr::from_str(text).map_err(|error| {
        let plain = error.without_snippet();
        let line = plain.location().map_or(1, |location| location.line().max(1));
        let told = plain.to_string();
        vec![(line, told.lines().next().unwrap_or("is no YAML").to_owned())]
    })?;
    let mut problems = LineProblems::default();
    let name = problems.text(&read.name, "name");
    if let Err(error) = PlanName::new(&name) {
        problems.add(line(&read.name), format!("name: {error}"));
    }
    let title = problems.text(&read.title, "title");
    let scope = read.scope.check(&mut problems);
    if read.steps.is_empty() || read.steps.len() > STEPS {
        problems
            .add(line(&read.title), format!("{} steps are written; write 1 to {STEPS}", read.steps.len()));
    }
    let steps = read.steps.iter().filter_map(|step| step.value.check(step.referenced.line(), &mut problems));
    let runbook = Runbook { name: Arc::from(name), title, scope, steps: steps.collect() };
    let checks = runbook.checks().count();
    if checks > CHECKS {
        problems.add(line(&read.title), format!("{checks} checks are more than {CHECKS}"));
    }
    if problems.0.is_empty() { Ok(runbook) } else { Err(problems.0) }
}

impl ScopeFile {
    fn check(&self, problems: &mut LineProblems) -> RunbookScope {
        let rules: Vec<&str> = Rule::ALL.iter().map(|rule| rule.label()).collect();
        for (list, what) in [(&self.rules, "rules"), (&self.services, "services"), (&self.plans, "plans")] {
            if let Some(first) = list.first().filter(|_| list.len() > SCOPE) {
                problems.add(line(first), format!("{} {what} are more than {SCOPE}", list.len()));
            }
        }
        let mut names = |list: &[Line], what| -> Vec<Arc<str>> {
            list.iter().map(|name| Arc::from(problems.text(name, what))).collect()
        };
        let (services, plans) = (names(&self.services, "a service"), names(&self.plans, "a plan"));
        let found = self.rules.iter().filter(|said| problems.word(said, "rule", &rules));
        let rules = found.filter_map(|said| Rule::ALL.into_iter().find(|rule| rule.label() == said.value));
        RunbookScope { rules: rules.collect(), services, plans }
    }
}

impl StepFile {
    fn check(&self, at: u64, problems: &mut LineProblems) -> Option<RunbookStep> {
        let kinds = [("check", &self.check), ("auto", &self.auto), ("ask", &self.ask), ("note", &self.note)];
        let written: Vec<(&str, &Line)> =
            kinds.iter().filter_map(|(kind, said)| Some((*kind, said.as_ref()?))).collect();
        let [(kind, said)] = written[..] else {
            problems.add(at, "a step is exactly one of check, auto, ask and note; write - ask: TEXT");
            return None;
        };
        self.extra(kind, said, problems);
        let kind = match kind {
            "check" => {
                let what = self.what(said, problems);
                let of = self.of.as_ref().map(|of| Arc::from(problems.text(of, "of")));
                what.map(|what| RunbookStepKind::Check(RunbookCheck { what, of }))
            }
            "auto" => {
                let actions: Vec<&str> = Action::WORDS.iter().map(|(_, word, _)| *word).collect();
                let plan = self.plan.as_ref().map(|plan| Arc::from(problems.text(plan, "plan")));
                let found = problems.word(said, "action", &actions).then(|| Action::named(&said.value));
                found.flatten().map(|action| RunbookStepKind::Auto { action, plan })
            }
            "ask" => Some(RunbookStepKind::Ask),
            _ => Some(RunbookStepKind::Note),
        };
        let text = match (&kind, &self.text) {
            (Some(RunbookStepKind::Ask | RunbookStepKind::Note), _) => problems.text(said, "a step"),
            (_, Some(text)) => problems.text(text, "text"),
            (_, None) => {
                problems.add(at, "a check or an auto step says in its text what it is for; write text: TEXT");
                return None;
            }
        };
        let part = self.part.as_ref().map(|part| problems.text(part, "part")).unwrap_or_default();
        Some(RunbookStep { part, text, kind: kind? })
    }

    /// Keys that mean nothing in a step of this kind.
    fn extra(&self, kind: &str, said: &Line, problems: &mut LineProblems) {
        let check = said.value.as_str();
        let bounded = !matches!(check, "breaker" | "reachability" | "health" | "failures");
        let of_machine = Resource::ALL.iter().any(|what| what.label() == check);
        let keys = [
            ("text", &self.text, matches!(kind, "check" | "auto")),
            ("of", &self.of, kind == "check" && !of_machine),
            ("at_most", &self.at_most, kind == "check" && bounded),
            ("percentile", &self.percentile, kind == "check" && check == "latency"),
            ("plan", &self.plan, kind == "auto"),
        ];
        for (key, written, _) in keys.iter().filter(|(_, _, may)| !may) {
            if let Some(written) = written {
                let of = if matches!(kind, "check" | "auto") {
                    format!("{kind}: {check}")
                } else {
                    kind.to_owned()
                };
                problems.add(line(written), format!("{key} means nothing beside {of}; take it out"));
            }
        }
    }

    fn what(&self, said: &Line, problems: &mut LineProblems) -> Option<CheckKind> {
        if !problems.word(said, "check", &CheckKind::LABELS) {
            return None;
        }
        let resource = |what, at_most| CheckKind::Resource { what, at_most };
        Some(match said.value.as_str() {
            "breaker" => CheckKind::Breaker,
            "reachability" => CheckKind::Reachability,
            "health" => CheckKind::Health,
            "failures" => CheckKind::Failures,
            "error_rate" => CheckKind::ErrorRate { at_most: self.at_most(said, "0.1%", problems)? },
            "latency" => {
                let at_most: Duration = self.at_most(said, "5s", problems)?;
                CheckKind::Latency { percentile: self.percentile(problems)?, at_most }
            }
            "in_flight" => {
                let written = self.at_most.as_ref().map(|most| (most, most.value.parse().ok()));
                match written {
                    None => CheckKind::InFlight { at_most: u64::MAX },
                    Some((_, Some(at_most))) => CheckKind::InFlight { at_most },
                    Some((most, None)) => {
                        problems
                            .add(line(most), format!("{:?} is no number; write at_most: 100", most.value));
                        return None;
                    }
                }
            }
            other => {
                let what = Resource::ALL.into_iter().find(|what| what.label() == other)?;
                resource(what, self.at_most::<Percent>(said, "95%", problems)?)
            }
        })
    }

    fn at_most<T: Written>(&self, said: &Line, like: &str, problems: &mut LineProblems) -> Option<T> {
        let Some(written) = &self.at_most else {
            problems
                .add(line(said), format!("{} needs what is still good; write at_most: {like}", said.value));
            return None;
        };
        problems.unit(written)
    }

    fn percentile(&self, problems: &mut LineProblems) -> Option<CheckPercentile> {
        let Some(said) = &self.percentile else { return Some(CheckPercentile::P99) };
        let known = CheckPercentile::ALL.map(CheckPercentile::label);
        problems.word(said, "percentile", &known).then_some(())?;
        CheckPercentile::ALL.into_iter().find(|one| one.label() == said.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> Vec<(u64, String)> {
        runbook(text).expect_err(text)
    }

    fn step(lines: &str) -> String {
        format!("name: a\ntitle: A\nsteps:\n{lines}")
    }

    #[test]
    fn the_kinds_of_steps_are_read() {
        let text = r#"
name: database_down
title: The database is down
for:
  rules: [service_down]
  services: [database]
  plans: [database_failure]
steps:
  - part: First
    check: latency
    text: Is it slow?
    percentile: p95
    at_most: 5s
  - check: error_rate
    text: Does it fail?
    of: backend
    at_most: 0.1%
  - auto: connection_reset
    text: Reset connections
    plan: database_failure
  - ask: Read its log
  - note: Next time, read it sooner
"#;
        let read = runbook(text).expect("reads");
        let kinds: Vec<&str> = read.steps.iter().map(|step| step.kind.label()).collect();
        assert_eq!(kinds, ["check", "check", "auto", "ask", "note"]);
        assert_eq!((&*read.steps[0].part, &*read.steps[3].text), ("First", "Read its log"));
        let RunbookStepKind::Check(RunbookCheck { what, of: None }) = &read.steps[0].kind else { panic!() };
        let wanted = CheckKind::Latency { percentile: CheckPercentile::P95, at_most: Duration::from_secs(5) };
        assert_eq!(*what, wanted);
        assert_eq!(read.scope.rules, [Rule::ServiceDown]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_to_write() {
        for (text, at, wanted) in [
            (step("  - check: brekaer\n    text: x\n"), 4, "is no check; did you mean \"breaker\"?"),
            (step("  - ask: a\n  - check: error_rate\n    text: x\n"), 5, "write at_most: 0.1%"),
            (step("  - check: error_rate\n    text: x\n    at_most: much\n"), 6, "a percentage"),
            (
                step("  - check: breaker\n    text: x\n    at_most: 1%\n"),
                6,
                "means nothing beside check: breaker",
            ),
            (step("  - check: breaker\n"), 4, "write text: TEXT"),
            (step("  - auto: restart\n    text: x\n"), 4, "is no action"),
            (step("  - ask: a\n    note: b\n"), 4, "exactly one of check, auto, ask and note"),
            (step("  - ask: a\n    plan: b\n"), 5, "plan means nothing beside ask"),
            (step("  - exec: rm\n"), 4, "exec"),
            ("name: a\ntitle: A\nsteps: []\n".to_owned(), 2, "write 1 to 64"),
            ("name: A b\ntitle: A\nsteps:\n  - ask: a\n".to_owned(), 1, "name: "),
            ("name: a\ntitle: A\nfor: { rules: [down] }\nsteps:\n  - ask: a\n".to_owned(), 3, "is no rule"),
            ("name: a\ntitle: A\nsteps:\n  - ask: [\n".to_owned(), 4, ""),
            ("title: A\nsteps:\n  - ask: a\n".to_owned(), 2, "missing field `name`"),
        ] {
            let all = told(&text);
            assert!(all.iter().any(|(line, told)| *line == at && told.contains(wanted)), "{text}: {all:?}");
        }
        let checks = "  - check: breaker\n    text: x\n".repeat(17);
        assert!(told(&step(&checks))[0].1.contains("17 checks are more than 16"));
    }

    #[test]
    fn aliases_that_would_grow_without_end_are_refused() {
        let mut text = "name: a\ntitle: A\nsteps:\n  - ask: &a0 [x, x]\n".to_owned();
        for nth in 1..30 {
            let before = nth - 1;
            text.push_str(&format!("  - ask: &a{nth} [*a{before}, *a{before}]\n"));
        }
        assert!(!told(&text).is_empty());
    }
}
