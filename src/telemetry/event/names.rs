//! What becomes of look-ups of names.

use tracing::{info, warn};

use crate::net::addresses::AddressNews;

/// What became of a name that is looked up.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum NamesEvent<'a> {
    Failed { host: &'a str, error: &'a str },
    Untold { host: &'a str, error: &'a str, kept: usize },
    Absent { host: &'a str, error: &'a str, kept: usize, until: &'a str },
    Gone { host: &'a str, error: &'a str },
    ReceiverKept { host: &'a str, error: &'a str, kept: usize },
    Found { host: &'a str },
}

impl NamesEvent<'_> {
    /// Tells what has become of the name of somebody whom the control side calls.
    pub fn tell_of_receiver(news: AddressNews<'_>) {
        match news {
            AddressNews::Kept { host, error, kept } => NamesEvent::ReceiverKept { host, error, kept }.tell(),
            AddressNews::Found { host } => NamesEvent::Found { host }.tell(),
        }
    }

    pub fn tell(&self) {
        match *self {
            Self::Failed { host, error } => warn!(host, error, "name look-up failed"),
            Self::Untold { host, error, kept } => {
                warn!(
                    host,
                    error, kept, "no server can answer for the name, its last addresses stay until one does"
                );
            }
            Self::Absent { host, error, kept, until } => {
                warn!(
                    host,
                    error, kept, until, "the name is said not to exist, its last addresses stay until then"
                );
            }
            Self::Gone { host, error } => {
                warn!(host, error, "the name is said not to exist, it has no addresses");
            }
            Self::ReceiverKept { host, error, kept } => {
                warn!(
                    host,
                    error, kept, "the name of a receiver is not found, its last addresses stay for good"
                );
            }
            Self::Found { host } => info!(host, "name is found again"),
        }
    }
}
