//! What is put in force beside the config: directives of the degradation level, a drill. A reload leaves it alone.

use std::sync::Arc;

use super::drill::Injection;
use super::registry::{Registry, World};
use crate::reliability::degradation::Directives;

impl World {
    /// This one, with what is in force beside the config of the other.
    pub(super) fn beside(mut self, now: &Self) -> Self {
        (self.directives, self.drill) = (now.directives.clone(), now.drill.clone());
        self
    }
}

impl Registry {
    /// Puts other directives in force; all else stays as it is, whatever a reload does at the same time.
    pub fn direct(&self, directives: Option<Arc<Directives>>) {
        self.changed(|next| next.directives.clone_from(&directives));
    }

    /// The same for a drill, or none.
    pub fn inject(&self, drill: Option<Arc<Injection>>) {
        self.changed(|next| next.drill.clone_from(&drill));
    }

    fn changed(&self, change: impl Fn(&mut World)) {
        self.world.rcu(|now| {
            let mut next = World::clone(now);
            change(&mut next);
            next
        });
    }
}
