//! What a notification is called: by its receiver, who does nothing twice by it, and on disk.
//!
//! What it is called for is known as it is; it becomes a text where it leaves, and is read back in one place: from disk.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::names::IncidentId;
use crate::reliability::engine::{Notice, Page};

/// The name of one notification: the same with each attempt, and in whichever member of a fleet makes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum NotificationId {
    /// A call of an incident, by its number within it: `inc_…-call-3`.
    Call { incident: IncidentId, number: u32 },
    /// Anything else, such as `inc_…-taken-acknowledged-12-chat`.
    Other(String),
}

const CALL: &str = "-call-";

impl NotificationId {
    /// Of what calls somebody.
    pub fn of_call(page: &Page) -> Self {
        Self::Call { incident: page.incident.clone(), number: page.number }
    }

    /// Of what tells that an incident is now at `version`, through one channel.
    pub fn of_notice(notice: &Notice, version: u64, channel: &str) -> Self {
        let (news, state) = (notice.news.label(), notice.state.label());
        Self::Other(format!("{}-{news}-{state}-{version}-{channel}", notice.incident))
    }
}

impl NotificationId {
    /// Orders those of one incident and one matter as they were told: a later one has the greater number in it.
    pub(super) fn rank(&self) -> (usize, &str) {
        match self {
            Self::Call { number, .. } => (*number as usize, ""),
            Self::Other(text) => (text.len(), text),
        }
    }
}

impl From<String> for NotificationId {
    fn from(text: String) -> Self {
        let call = text.rsplit_once(CALL).and_then(|(incident, number)| {
            Some(Self::Call { incident: IncidentId::read(incident)?, number: number.parse().ok()? })
        });
        // What would not be written the same way is no number of a call.
        call.filter(|call| call.to_string() == text).unwrap_or(Self::Other(text))
    }
}

impl From<NotificationId> for String {
    fn from(id: NotificationId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for NotificationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call { incident, number } => write!(f, "{incident}{CALL}{number}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_a_call_of_an_incident_is_read_back_as_one() {
        let incident = IncidentId::of(1_700_000_000_000, 7);
        let call = NotificationId::Call { incident: incident.clone(), number: 12 };
        assert_eq!(call.to_string(), format!("{incident}-call-12"));
        assert_eq!(NotificationId::from(call.to_string()), call);
        let stored = serde_json::to_string(&call).expect("text");
        assert_eq!(stored, format!("\"{incident}-call-12\""));
        assert_eq!(serde_json::from_str::<NotificationId>(&stored).expect("read"), call);
        for other in [
            format!("{incident}-over-resolved-4-my-call-3"),
            format!("{incident}-call-012"),
            format!("{incident}-call-+1"),
            format!("{incident}-call-"),
            "test-call-1".to_owned(),
        ] {
            assert_eq!(NotificationId::from(other.clone()), NotificationId::Other(other));
        }
    }

    proptest! {
        #[test]
        fn no_text_is_lost(text in "(inc_[0-9a-z]{20})?(-call-)?[-a-z0-9]{0,12}", number: u32, draw: u64) {
            prop_assert_eq!(NotificationId::from(text.clone()).to_string(), text);
            let call = NotificationId::Call { incident: IncidentId::of(1, draw), number };
            prop_assert_eq!(NotificationId::from(call.to_string()), call);
        }
    }
}
