-- Jobs that a person has cancelled after they were launched. Only the manager knew of them before, and its hosts.
CREATE TABLE cancelled (
    job INTEGER PRIMARY KEY REFERENCES jobs (number)
);
