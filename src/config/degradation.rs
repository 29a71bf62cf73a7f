//! `[degradation]`: what each level gives up, and which breakers raise it.

use std::sync::Arc;

#[cfg(test)]
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::problem::{Part, did_you_mean};
use super::routes::Route;
use super::stale::{StaleFile, StalePolicy};
use super::upstream::UpstreamConfig;
use super::word::{OneOf, words};
use crate::names::FeatureName;
use crate::reliability::degradation::{DegradationPolicy, Level, LevelPolicy, RouteClass, Trigger};
use crate::units::{Size, Text};

/// Features of one level, and members of any list here, at most: their names go into a field of each request.
const MOST: usize = 32;

/// The table `[degradation]` as the operator writes it.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct DegradationFile {
    /// Bytes of kept answers (`stale` of routes) over all routes; the oldest go.
    pub kept_answers: Text<Size>,
    /// `stale` of the routes that say nothing of it, the built-in last one included; absent: they keep none.
    pub stale: Option<StaleFile>,
    /// What level 1 means.
    pub level1: LevelFile,
    /// What level 2 means beside what level 1 means.
    pub level2: LevelFile,
    /// What level 3 means beside what the levels 1 and 2 mean.
    pub level3: LevelFile,
    /// Breakers that raise the level while they are not closed.
    pub when: Vec<WhenFile>,
}

impl Default for DegradationFile {
    fn default() -> Self {
        let [level1, level2, level3] = Default::default();
        let kept_answers = Text(Size(16 * 1024 * 1024));
        Self { kept_answers, stale: None, level1, level2, level3, when: Vec::new() }
    }
}

/// `[degradation.level1]` as written.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LevelFile {
    /// What the application is told to do without, in `X-SRE-Degraded` of its requests.
    pub features: Vec<String>,
    /// Names of routes that answer with their fallback at once.
    pub fallback: Vec<String>,
    /// Classes of routes whose requests are refused (503).
    pub shed: Vec<OneOf<RouteClass>>,
}

/// An entry of `[[degradation.when]]` as written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[cfg_attr(test, derive(JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct WhenFile {
    /// An upstream, or `<upstream>.<operation>`.
    pub breaker: String,
    /// The least level while its breaker is not closed: 1 to 3.
    pub level: u8,
    /// What the application is told to do without, beside what the level says.
    pub features: Vec<String>,
}

impl Default for WhenFile {
    fn default() -> Self {
        Self { breaker: String::new(), level: 1, features: Vec::new() }
    }
}

words! {
    RouteClass: "class of routes" {
        High = "high", "its requests are never given up";
        Normal = "normal", "its requests are given up where a level says so";
        Low = "low", "its requests are given up first";
    }
}

impl DegradationFile {
    pub(super) fn kept_answers(&self, mut at: Part<'_, '_>) -> usize {
        let most = Size(4 * 1024 * 1024 * 1024);
        if self.kept_answers.0 > most {
            at.add("kept_answers", "is not within 0B to 4GiB: it is memory of this process");
        }
        self.kept_answers.0.0 as usize
    }

    /// Of the routes that say nothing of it.
    pub(super) fn stale(&self, mut at: Part<'_, '_>) -> Option<StalePolicy> {
        self.stale.as_ref().and_then(|stale| stale.check(at.part("stale")))
    }

    pub(super) fn check(
        &self,
        mut at: Part<'_, '_>,
        routes: &[Arc<Route>],
        upstreams: &[Option<UpstreamConfig>],
    ) -> DegradationPolicy {
        let [level1, level2, level3] = [&self.level1, &self.level2, &self.level3];
        let levels = [("level1", level1), ("level2", level2), ("level3", level3)]
            .map(|(key, level)| level.check(at.part(key), routes));
        let mut breakers = Vec::new();
        for upstream in upstreams.iter().flatten() {
            breakers.push(upstream.name.as_str().to_owned());
            let operations = upstream.operations.iter();
            breakers.extend(operations.map(|operation| format!("{}.{}", upstream.name, operation.name)));
        }
        let known: Vec<&str> = breakers.iter().map(String::as_str).collect();
        // What is wrong with an upstream is told there.
        let all_known = upstreams.iter().all(Option::is_some);
        let when = self.when.iter().enumerate();
        let when = when.filter_map(|(nth, one)| {
            let mut at = at.part(&format!("when.{nth}"));
            if all_known {
                at.known("breaker", &one.breaker, ("breaker", "upstreams"), &known);
            }
            one.check(at)
        });
        DegradationPolicy { levels, when: when.collect() }
    }
}

impl WhenFile {
    fn check(&self, mut at: Part<'_, '_>) -> Option<Trigger> {
        let features = features(&self.features, &mut at);
        let level = Level::of(at.within("level", self.level, 1, Level::MOST))?;
        Some(Trigger { breaker: self.breaker.clone(), level, features })
    }
}

impl LevelFile {
    fn check(&self, mut at: Part<'_, '_>, routes: &[Arc<Route>]) -> LevelPolicy {
        let mut fallback = Vec::new();
        for (nth, name) in self.fallback.iter().enumerate() {
            let key = format!("fallback.{nth}");
            match routes.iter().find(|route| route.name.as_str() == name) {
                None => {
                    let guess = did_you_mean(name, routes.iter().map(|route| route.name.as_str()));
                    at.add(
                        &key,
                        format!(
                            "no route is named {name:?}{guess}; write the name of one that has a fallback"
                        ),
                    );
                }
                Some(route) if route.fallback.is_none() => {
                    at.add(&key, format!("route {name} has no fallback; write fallback = {{ … }} there"));
                }
                Some(route) => fallback.push(route.name.clone()),
            }
        }
        let shed: Vec<RouteClass> = self.shed.iter().map(|class| class.0).collect();
        if shed.contains(&RouteClass::High) {
            at.add("shed", "\"high\" is never given up; write \"low\" or \"normal\"");
        }
        LevelPolicy { features: features(&self.features, &mut at), fallback, shed }
    }
}

fn features(written: &[String], at: &mut Part<'_, '_>) -> Vec<FeatureName> {
    if written.len() > MOST {
        at.add("features", format!("are {}, and at most {MOST} are told", written.len()));
    }
    let named = written.iter().enumerate();
    named.filter_map(|(nth, name)| at.take(&format!("features.{nth}"), FeatureName::new(name))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::load;
    use super::*;
    use crate::config::tests::config_text;

    fn with(more: &str) -> Result<DegradationPolicy, String> {
        let text = config_text(&format!(
            r#"
            [ingress]
            [upstreams.backend]
            endpoints = ["127.0.0.1:8001"]
            [upstreams.twilio]
            preset = "twilio"
            breaker = {{ operations = {{ messages = "/2010-04-01/Accounts/{{sid}}/Messages.json" }} }}
            [[routes]]
            prefix = "/bookings"
            fallback = {{ body = '[]' }}
            [[routes]]
            prefix = "/search"
            {more}
            "#
        ));
        load(&text, "a test", &[]).map(|config| config.degradation).map_err(|problems| problems.to_string())
    }

    #[test]
    fn a_level_is_what_is_written_and_nothing_by_itself() {
        assert_eq!(with("").expect("runs"), DegradationPolicy::default());
        let policy = with(
            "[degradation]\nlevel2 = { features = [\"sms\"], fallback = [\"bookings\"], shed = [\"low\"] }\n\
             when = [{ breaker = \"twilio\" }, { breaker = \"twilio.messages\", level = 3 }]\n",
        )
        .expect("runs");
        assert_eq!(policy.levels[0], LevelPolicy::default());
        assert_eq!(policy.levels[1].features[0].as_str(), "sms");
        assert_eq!(policy.levels[1].fallback[0].as_str(), "bookings");
        assert_eq!(policy.levels[1].shed, [RouteClass::Low]);
        let levels: Vec<u8> = policy.when.iter().map(|trigger| trigger.level.number()).collect();
        assert_eq!(levels, [1, 3]);
    }

    #[test]
    fn routes_that_say_nothing_keep_what_all_keep_and_0s_keeps_nothing() {
        let routes = |more: &str| {
            let text = config_text(&format!(
                r#"
                [ingress]
                [upstreams.backend]
                endpoints = ["127.0.0.1:8001"]
                [[routes]]
                prefix = "/none"
                stale = {{ for = "0s" }}
                [[routes]]
                prefix = "/short"
                stale = {{ max_body = "1KiB" }}
                [[routes]]
                prefix = "/silent"
                {more}
                "#
            ));
            let config = load(&text, "a test", &[]).map_err(|problems| problems.to_string())?;
            let kept = |name: &str| config.routes.iter().find(|route| route.name.as_str() == name)?.stale;
            let seconds = |name| kept(name).map(|stale| (stale.lasts.as_secs(), stale.max_body));
            Ok::<_, String>(["none", "short", "silent", "default"].map(seconds))
        };
        assert_eq!(routes("").expect("runs"), [None, Some((600, 1_024)), None, None]);
        let all = routes("[degradation]\nstale = { for = \"2m\" }\n").expect("runs");
        let common = Some((120, 256 * 1_024));
        assert_eq!(all, [None, Some((120, 1_024)), common, common]);
        for (written, told) in [("for = \"8d\"", "is not within"), ("max_body = \"9MiB\"", "is not within")] {
            let problems = routes(&format!("[degradation]\nstale = {{ {written} }}\n")).expect_err(written);
            assert!(problems.contains(told) && problems.contains("degradation.stale"), "{problems}");
            assert!(!problems.contains("routes."), "it is told where it is written: {problems}");
        }
    }

    #[test]
    fn what_could_not_be_done_is_refused_with_what_to_write() {
        for (written, told) in [
            (
                "level1 = { fallback = [\"booking\"] }",
                "no route is named \"booking\"; did you mean \"bookings\"?",
            ),
            ("level1 = { fallback = [\"search\"] }", "route search has no fallback"),
            ("level1 = { shed = [\"high\"] }", "\"high\" is never given up"),
            ("level1 = { shed = [\"lo\"] }", "no class of routes; did you mean \"low\"?"),
            ("level1 = { features = [\"S M S\"] }", "must start with a lower-case letter"),
            ("level4 = {}", "degradation.level4"),
            (
                "when = [{ breaker = \"twillio\" }]",
                "no breaker is named \"twillio\"; did you mean \"twilio\"?",
            ),
            ("when = [{ breaker = \"twilio\", level = 0 }]", "0 is not within 1 to 3"),
        ] {
            let problems = with(&format!("[degradation]\n{written}\n")).expect_err(written);
            assert!(problems.contains(told), "{written}: {problems}");
        }
    }
}
