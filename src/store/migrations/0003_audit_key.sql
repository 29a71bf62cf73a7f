-- With a key, what it says of each end of the audit chain; without one NULL.

ALTER TABLE heads ADD COLUMN mac TEXT;
