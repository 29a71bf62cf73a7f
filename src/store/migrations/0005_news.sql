-- How often incidents and silences have changed, so that a fleet asks for what is new and not for everything. Both counters move
-- under the lock of the audit chain: who sees a number sees everything up to it.

CREATE TABLE news (
    name TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
);
INSERT INTO news (name, seq) VALUES ('incidents', 0), ('silences', 0);

ALTER TABLE incidents ADD COLUMN change BIGINT NOT NULL DEFAULT 0;
CREATE INDEX incidents_by_number ON incidents (change);

-- How many alerts a sidecar sees. One of an older version does not say it, and is listened to always.
ALTER TABLE members ADD COLUMN loud BIGINT NOT NULL DEFAULT 1;

-- What a holder tells everybody, JSON that the store never reads, and which one of its words that is.
ALTER TABLE leases ADD COLUMN word TEXT;
ALTER TABLE leases ADD COLUMN said BIGINT;
