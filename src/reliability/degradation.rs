//! Degradation: what stands in for an answer that an upstream does not give, and how much of the service is given up.
//!
//! A stand-in never says more than is known: one that claims success answers only requests that read, and an answer that
//! the upstream did give is left alone unless the operator asks otherwise.
//!
//! The level is the highest of what an operator orders and what open breakers mean; it means what the TOML says, and what
//! the levels below it mean.

use std::time::Instant;

use crate::names::{FeatureName, RouteName};

/// What a request asks for, as far as a stand-in depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// GET or HEAD: it changes nothing.
    Reading,
    /// Anything else: whether it was done is not known.
    Writing,
    /// A tunnel or an upgrade: any 2xx would begin it.
    Upgrade,
}

/// What came of asking the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It could not be asked, or did not answer.
    Missing,
    /// It answered with this status.
    Status(u16),
}

impl Reply {
    /// Did the upstream fail, by the statuses of RFC 5861 section 4? The others say something of the request.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Missing | Self::Status(500 | 502 | 503 | 504))
    }
}

/// When the fallback answer of a route is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FallbackPolicy {
    /// The status of the fallback answer.
    pub status: u16,
    /// Also in the place of the upstream's own 500, 502, 503 and 504.
    pub on_5xx: bool,
}

impl FallbackPolicy {
    /// Is the fallback given to this request?
    pub fn stands_in(self, asked: Asked, reply: Reply) -> bool {
        let lacking = match reply {
            Reply::Missing => true,
            Reply::Status(_) => self.on_5xx && reply.is_failure(),
        };
        let true_of_it = match asked {
            Asked::Reading => true,
            Asked::Writing => self.status >= 400,
            Asked::Upgrade => false,
        };
        lacking && true_of_it
    }
}

/// How much of the service is given up: 0 is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    /// The highest one.
    pub const MOST: u8 = 3;

    /// `None`: there is no such level.
    pub fn of(number: u8) -> Option<Self> {
        (number <= Self::MOST).then_some(Self(number))
    }

    /// 0 to 3.
    pub fn number(self) -> u8 {
        self.0
    }
}

/// Which requests are given up before which, as their route says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RouteClass {
    /// Never given up.
    High,
    #[default]
    Normal,
    /// Given up first.
    Low,
}

/// What a level means, beside what the levels below it mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LevelPolicy {
    /// What the application is told to do without.
    pub features: Vec<FeatureName>,
    /// Routes that answer with their fallback at once.
    pub fallback: Vec<RouteName>,
    /// Classes of routes whose requests are refused.
    pub shed: Vec<RouteClass>,
}

/// What it means that a breaker is not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trigger {
    /// The label of the breaker: an upstream's name, or `<upstream>.<operation>`.
    pub breaker: String,
    /// The least level meanwhile.
    pub level: Level,
    /// What the application is told to do without, beside what the level says.
    pub features: Vec<FeatureName>,
}

/// What degradation means here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DegradationPolicy {
    /// Of the levels 1, 2 and 3.
    pub levels: [LevelPolicy; Level::MOST as usize],
    pub when: Vec<Trigger>,
}

/// An operator's order: at least this level, for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelOrder {
    pub level: Level,
    /// Why, in the words of whoever ordered it.
    pub reason: String,
    /// Who ordered it.
    pub actor: String,
    /// When it was ordered.
    pub since: Instant,
    /// When it ends by itself.
    pub until: Instant,
}

/// What is in force while the level is above 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directives {
    /// 1 to 3.
    pub level: Level,
    /// What the application is told to do without; each once.
    pub features: Vec<FeatureName>,
    /// Breakers that are not closed and have a part in it.
    pub breakers: Vec<String>,
    fallback: Vec<RouteName>,
    shed: Vec<RouteClass>,
    /// The level and the features as the application reads them: `level=2; features="sms,calendar"`.
    pub field: String,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// What would become of it at level 0.
    AsEver,
    /// Its route answers with its fallback at once.
    Fallback,
    /// It is refused.
    Shed,
}

impl DegradationPolicy {
    /// The levels that are in force at `level`.
    fn up_to(&self, level: Level) -> impl Iterator<Item = &LevelPolicy> {
        self.levels.iter().take(usize::from(level.0))
    }

    /// What is in force: the highest of what was ordered and of what open breakers mean; `None`: level 0.
    pub fn decide(&self, ordered: Option<Level>, is_open: impl Fn(&str) -> bool) -> Option<Directives> {
        let open: Vec<&Trigger> = self.when.iter().filter(|trigger| is_open(&trigger.breaker)).collect();
        let levels = open.iter().map(|trigger| trigger.level).chain(ordered);
        let level = levels.max().filter(|level| *level > Level::default())?;
        let mut features: Vec<FeatureName> = Vec::new();
        let told = self.up_to(level).flat_map(|meaning| &meaning.features);
        for feature in told.chain(open.iter().flat_map(|trigger| &trigger.features)) {
            if !features.contains(feature) {
                features.push(feature.clone());
            }
        }
        let field = field(level, &features);
        Some(Directives {
            level,
            features,
            breakers: open.iter().map(|trigger| trigger.breaker.clone()).collect(),
            fallback: self.up_to(level).flat_map(|meaning| meaning.fallback.iter().cloned()).collect(),
            shed: self.up_to(level).flat_map(|meaning| meaning.shed.iter().copied()).collect(),
            field,
        })
    }
}

/// A list of members with a parameter, as RFC 9651 writes it.
fn field(level: Level, features: &[FeatureName]) -> String {
    let mut text = format!("level={}", level.0);
    if !features.is_empty() {
        let names: Vec<&str> = features.iter().map(FeatureName::as_str).collect();
        text.push_str(&format!("; features=\"{}\"", names.join(",")));
    }
    text
}

impl Directives {
    /// The order, where it decides the level; `None`: open breakers do.
    pub fn decided_by<'a>(&self, order: Option<&'a LevelOrder>) -> Option<&'a LevelOrder> {
        order.filter(|order| order.level >= self.level)
    }

    /// Why the level is what it is: in the words of the order that decides it, else the breakers.
    pub fn why(&self, order: Option<&LevelOrder>) -> String {
        match self.decided_by(order) {
            Some(order) => order.reason.clone(),
            None => format!("not closed: {}", self.breakers.join(", ")),
        }
    }

    /// What becomes of a request of this route.
    pub fn treat(&self, route: &RouteName, class: RouteClass) -> Treatment {
        if self.fallback.contains(route) {
            Treatment::Fallback
        } else if self.shed.contains(&class) {
            Treatment::Shed
        } else {
            Treatment::AsEver
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OK: FallbackPolicy = FallbackPolicy { status: 200, on_5xx: false };
    const DOWN: FallbackPolicy = FallbackPolicy { status: 503, on_5xx: false };

    #[test]
    fn a_success_that_nobody_has_seen_is_told_to_readers_alone() {
        assert!(OK.stands_in(Asked::Reading, Reply::Missing));
        assert!(!OK.stands_in(Asked::Writing, Reply::Missing), "a write may have been done, or not");
        assert!(DOWN.stands_in(Asked::Writing, Reply::Missing));
        assert!([OK, DOWN].iter().all(|policy| !policy.stands_in(Asked::Upgrade, Reply::Missing)));
    }

    #[test]
    fn an_answer_of_the_upstream_stays_unless_it_is_asked_for_and_says_that_it_is_down() {
        let all = |policy: FallbackPolicy| -> Vec<u16> {
            let stands_in = |status: &u16| policy.stands_in(Asked::Reading, Reply::Status(*status));
            (100..600).filter(stands_in).collect()
        };
        assert_eq!(all(OK), [0_u16; 0]);
        assert_eq!(all(FallbackPolicy { on_5xx: true, ..OK }), [500, 502, 503, 504]);
    }

    fn feature(name: &str) -> FeatureName {
        FeatureName::new(name).unwrap()
    }

    fn route(name: &str) -> RouteName {
        RouteName::new(name).unwrap()
    }

    /// Level 1 does without recommendations, level 2 sheds and answers bookings itself; Twilio means SMS.
    fn policy() -> DegradationPolicy {
        let one = LevelPolicy { features: vec![feature("recommendations")], ..LevelPolicy::default() };
        let two = LevelPolicy {
            features: vec![feature("calendar"), feature("recommendations")],
            fallback: vec![route("bookings")],
            shed: vec![RouteClass::Low],
        };
        let twilio =
            Trigger { breaker: "twilio".to_owned(), level: Level(1), features: vec![feature("sms")] };
        DegradationPolicy { levels: [one, two, LevelPolicy::default()], when: vec![twilio] }
    }

    #[test]
    fn a_level_means_what_the_levels_below_it_mean_too() {
        let policy = policy();
        let at = |level| policy.decide(Level::of(level), |_| false);
        assert_eq!((at(0), policy.decide(None, |_| false)), (None, None));
        assert_eq!(at(1).expect("above 0").field, "level=1; features=\"recommendations\"");
        for level in [2, 3] {
            let two = at(level).expect("above 0");
            assert_eq!(two.field, format!("level={level}; features=\"recommendations,calendar\""));
            let treated = |name: &str, class| two.treat(&route(name), class);
            assert_eq!(treated("bookings", RouteClass::Low), Treatment::Fallback);
            assert_eq!(treated("other", RouteClass::Low), Treatment::Shed);
            assert_eq!(treated("other", RouteClass::Normal), Treatment::AsEver);
        }
        let bare = DegradationPolicy::default().decide(Level::of(3), |_| true).expect("above 0");
        assert_eq!(bare.field, "level=3");
        assert_eq!(Level::of(4), None);
    }

    #[test]
    fn an_open_breaker_raises_the_level_and_lowers_none() {
        let policy = policy();
        let open = |name: &str| name == "twilio";
        let alone = policy.decide(None, open).expect("above 0");
        assert_eq!(
            (alone.level, alone.field.as_str()),
            (Level(1), "level=1; features=\"recommendations,sms\"")
        );
        assert_eq!(alone.breakers, ["twilio"]);
        let both = policy.decide(Level::of(2), open).expect("above 0");
        assert_eq!(both.field, "level=2; features=\"recommendations,calendar,sms\"");
        assert_eq!(policy.decide(Level::of(0), open), Some(alone), "0 is no ceiling");
    }
}
