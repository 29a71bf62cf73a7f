-- The closed days of the ledger: one row a subject and member, which holds all minutes of a day of UTC, packed as
-- src/store/ledger/day.rs says. The minutes of the days before move here in small pieces while Strop runs, so nothing is done now.

CREATE TABLE ledger_days (
    member TEXT NOT NULL,
    service TEXT NOT NULL,
    day BIGINT NOT NULL,
    packed BYTEA NOT NULL,
    PRIMARY KEY (service, day, member)
);
CREATE INDEX ledger_days_by_day ON ledger_days (day);
