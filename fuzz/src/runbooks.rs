//! Runbooks in YAML, as files of a directory hold them.

use strop::names::PlanName;

/// What is read can be shown and run; what is refused says where and why.
pub fn runbook(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match strop::config::runbook(text) {
        Ok(one) => {
            assert!(PlanName::new(&one.name).is_ok(), "{:?} is no name", one.name);
            assert!((1..=64).contains(&one.steps.len()), "{} steps", one.steps.len());
            assert!(one.checks().count() <= 16, "{} checks", one.checks().count());
            let scope = [one.scope.rules.len(), one.scope.services.len(), one.scope.plans.len()];
            assert!(scope.iter().all(|length| *length <= 32), "{scope:?}");
            let steps = one.steps.iter().flat_map(|step| [&*step.text, &*step.part]);
            for line in steps.chain([&*one.title]) {
                assert!(line.chars().count() <= 500 && !line.contains(char::is_control), "{line:?}");
            }
            assert!(one.steps.iter().all(|step| !step.text.is_empty()) && !one.title.is_empty());
            let again = strop::config::runbook(text).expect("the same text");
            assert_eq!(again, one, "it is read the same each time");
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "what is refused says why");
            // A carriage return ends a line of YAML too; the end of the text is the place of what is missing.
            let lines = text.chars().filter(|one| matches!(one, '\n' | '\r')).count() as u64 + 2;
            for (line, told) in &problems {
                assert!((1..=lines).contains(line), "line {line} of {lines}: {told}");
                assert!(!told.trim().is_empty() && !told.contains('\n'), "{told:?}");
            }
        }
    }
}
