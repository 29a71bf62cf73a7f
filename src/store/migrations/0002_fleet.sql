-- The sidecars that run, each start of each with what it sees at the moment: JSON that the store never reads. Moments are of
-- the database's clock, for the clocks of a fleet differ.

CREATE TABLE members (
    member TEXT NOT NULL,
    boot TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    sees TEXT NOT NULL,
    PRIMARY KEY (member, boot)
);

-- What has changed lately is asked for every second.
CREATE INDEX incidents_by_change ON incidents (updated_at);
