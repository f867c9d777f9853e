-- How hosts were prepared before their first job.
CREATE TABLE setups (
    host        TEXT NOT NULL,
    n           INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    token       TEXT NOT NULL,
    boot        TEXT NOT NULL,
    state       TEXT NOT NULL,
    outcome     TEXT,
    exit_status INTEGER,
    signal      INTEGER,
    reason      TEXT,
    cause       TEXT,
    started     REAL,
    ended       REAL,
    PRIMARY KEY (host, n)
) WITHOUT ROWID;
