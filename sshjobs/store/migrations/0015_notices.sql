-- What is to be told of the run by commands and messages, and what became of that.
CREATE TABLE notices (
    id        TEXT PRIMARY KEY,
    event     TEXT NOT NULL,
    recipient TEXT NOT NULL,
    about     TEXT NOT NULL,
    made      REAL NOT NULL,
    tries     INTEGER NOT NULL,
    delivered REAL,
    error     TEXT
) WITHOUT ROWID;
