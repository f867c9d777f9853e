-- What attempts were given to read, and the runs that attempts are carried over from.
CREATE TABLE inputs (
    digest  TEXT PRIMARY KEY,
    listing TEXT
) WITHOUT ROWID;
ALTER TABLE attempts ADD COLUMN inputs TEXT;
ALTER TABLE attempts ADD COLUMN origin TEXT;
