-- Read by SQLite and PostgreSQL alike. Times are milliseconds since 1970 in UTC; bodies are JSON that the store never reads.
-- Nothing refers to another table by a foreign key: after a damaged file was moved aside, a timeline goes on in the new one
-- although its incident's first rows are in the old one.

CREATE TABLE incidents (
    id TEXT NOT NULL PRIMARY KEY,
    dedup_key TEXT NOT NULL,
    state TEXT NOT NULL,
    severity TEXT NOT NULL,
    rule TEXT NOT NULL,
    service TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    resolved_at BIGINT,
    updated_at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    member TEXT NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX incidents_by_start ON incidents (started_at, id);
CREATE INDEX incidents_by_dedup_key ON incidents (dedup_key, started_at);

CREATE TABLE timeline (
    incident_id TEXT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    actor TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (incident_id, seq)
);

CREATE TABLE audit (
    seq BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    body TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);

CREATE TABLE notifications (
    id TEXT NOT NULL PRIMARY KEY,
    incident_id TEXT,
    dedup_key TEXT NOT NULL,
    channel TEXT NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_error TEXT,
    sent_at BIGINT
);
CREATE INDEX notifications_by_state ON notifications (state, next_at);
CREATE INDEX notifications_by_incident ON notifications (incident_id, created_at);

CREATE TABLE ledger (
    member TEXT NOT NULL,
    service TEXT NOT NULL,
    minute BIGINT NOT NULL,
    boot TEXT NOT NULL,
    slices TEXT NOT NULL,
    good BIGINT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (service, minute, member, boot)
);
CREATE INDEX ledger_by_minute ON ledger (minute);

CREATE TABLE checkpoints (
    member TEXT NOT NULL,
    boot TEXT NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (member, boot)
);

CREATE TABLE silences (
    id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL,
    starts_at BIGINT NOT NULL,
    ends_at BIGINT NOT NULL
);

CREATE TABLE leases (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    token BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

CREATE TABLE samples (
    kind TEXT NOT NULL,
    service TEXT NOT NULL,
    member TEXT NOT NULL,
    at BIGINT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (kind, service, at, member)
);
CREATE INDEX samples_by_time ON samples (at);

-- The ends of the audit chain: 'audit' is its last row, 'anchor' the last row that retention has taken away. Every writing
-- transaction locks the first one, so writers of a fleet follow each other.
CREATE TABLE heads (
    name TEXT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL,
    hash TEXT NOT NULL
);
INSERT INTO heads (name, seq, hash) VALUES
    ('audit', 0, '0000000000000000000000000000000000000000000000000000000000000000'),
    ('anchor', 0, '0000000000000000000000000000000000000000000000000000000000000000');

-- The last batch of each writer: after a commit whose outcome got lost, it is looked up here instead of guessed.
CREATE TABLE commits (
    writer TEXT NOT NULL PRIMARY KEY,
    batch BIGINT NOT NULL,
    at BIGINT NOT NULL
);
