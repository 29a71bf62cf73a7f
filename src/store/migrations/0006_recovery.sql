-- Runs of recovery plans: what was to be done is here before it is done.

CREATE TABLE recovery_runs (
    id TEXT NOT NULL PRIMARY KEY,
    member TEXT NOT NULL,
    plan TEXT NOT NULL,
    body TEXT NOT NULL,
    began_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX recovery_runs_by_start ON recovery_runs (began_at);
