//! In fair weather: what one member alone sees, and has not the duty to call about, is called out by the one that has.

use strop::reliability::incident::Incident;

use super::{Fleet, MEMBERS, SERVICES};

/// Milliseconds until it is called out, at most: seen, told, confirmed after 30 s, and an order of silence may last for 80 s.
const SOON: u64 = 120_000;

impl Fleet {
    pub(super) fn drill(&mut self) {
        let duty = |n: &usize| self.slots[*n].member.as_ref().is_some_and(|one| one.duty(self.t).acts());
        let off_duty: Vec<usize> = (0..MEMBERS).filter(|n| !duty(n)).collect();
        let (n, service) = (self.dice.one_of(&off_duty), self.dice.below(SERVICES.len() as u64) as usize);
        self.bad[n].insert(service);
        let from = self.t;
        while !self.is_called_out(SERVICES[service]) {
            let passed = self.t - from;
            assert!(
                passed < SOON,
                "{} fails at m{n} alone for {passed} ms, and nobody is called",
                SERVICES[service]
            );
            self.step();
        }
        self.bad[n].clear();
    }

    fn is_called_out(&self, service: &str) -> bool {
        let about = |one: &Incident| one.active().any(|signal| *signal.key.service == *service);
        let open = |one: &Incident| one.state.is_live() && one.clocks.opened.is_some();
        let called =
            |one: &Incident| self.store.letters().any(|it| it.call.is_some() && it.incident == one.id);
        self.store.all().any(|one| about(&one) && open(&one) && called(&one))
    }
}
