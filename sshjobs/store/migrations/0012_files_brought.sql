-- The files that were brought of attempts.
CREATE TABLE brought (
    job    INTEGER NOT NULL REFERENCES jobs (number),
    n      INTEGER NOT NULL,
    files  INTEGER NOT NULL,
    size   INTEGER NOT NULL,                -- bytes of all of them
    digest TEXT NOT NULL,                   -- sha256 over a line for each: sha256, size, path, NUL
    PRIMARY KEY (job, n)
) WITHOUT ROWID;
