//! Texts that PostgreSQL does not take.

use super::rows::{AuditEntry, IncidentRow, LedgerMinute, NewEntry, SilenceRow, Write};

impl Write {
    /// PostgreSQL stores no text with a NUL (U+0000) in it, and a row that is refused would be refused for ever. What people and
    /// their programs send gets U+FFFD in its place, in both databases, before anything is hashed over it. Bodies are JSON, which
    /// writes it as an escape.
    pub(super) fn without_nul(&mut self) {
        fn texts<const N: usize>(all: [&mut String; N]) {
            for text in all.into_iter().filter(|text| text.contains('\0')) {
                *text = text.replace('\0', "\u{fffd}");
            }
        }
        match self {
            Self::PutIncident(IncidentRow {
                id,
                dedup_key,
                state,
                severity,
                rule,
                service,
                member,
                body,
                ..
            }) => {
                texts([id, dedup_key, state, severity, rule, service, member, body]);
            }
            Self::AddEntries(all) => {
                for NewEntry { incident_id, kind, actor, body, .. } in all {
                    texts([incident_id, kind, actor, body]);
                }
            }
            Self::Audit(AuditEntry { actor, action, target, body, .. }) => {
                texts([actor, action, target, body])
            }
            Self::PutNotification(row) => {
                texts([&mut row.id, &mut row.dedup_key, &mut row.channel, &mut row.kind, &mut row.body]);
                row.incident_id.iter_mut().chain(&mut row.last_error).for_each(|text| texts([text]));
            }
            Self::PutSilence(SilenceRow { id, body, .. }) => texts([id, body]),
            Self::LedgerMinute(LedgerMinute { member, service, boot, slices, .. }) => {
                texts([member, service, boot, slices]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_in_what_somebody_sent_blocks_no_row() {
        let entry = |actor: &str| AuditEntry {
            at: 1,
            actor: actor.to_owned(),
            action: "note".to_owned(),
            target: "inc\0".to_owned(),
            body: "{}".to_owned(),
        };
        let mut write = Write::Audit(entry("ann\0bob"));
        write.without_nul();
        assert_eq!(
            write,
            Write::Audit(AuditEntry { target: "inc\u{fffd}".to_owned(), ..entry("ann\u{fffd}bob") })
        );
        let mut plain = Write::Audit(AuditEntry { target: "ä\u{1}".to_owned(), ..entry("ann") });
        let before = plain.clone();
        plain.without_nul();
        assert_eq!(plain, before, "nothing else is touched");
    }
}
