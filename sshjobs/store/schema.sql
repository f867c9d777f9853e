-- The store of one run, as it is now. migrations/ leads older stores here.
-- Times are seconds since the epoch; those of attempts are by the host's clock, all others by the manager's.
-- What is written for every job is checked by OR, which means the same as IN: SQLite would make a table of the words of
-- an IN each time. Older stores have IN.

-- The run itself: one row.
CREATE TABLE run (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    uid      TEXT NOT NULL,                 -- 32 hex digits; the hosts know the run by it
    name     TEXT NOT NULL,
    created  REAL NOT NULL,
    epoch    INTEGER NOT NULL DEFAULT 0,    -- number of the newest manager; an older one may write no more
    state    TEXT NOT NULL DEFAULT 'running'
             CHECK (state IN ('running', 'interrupted', 'done', 'failed', 'cancelled')),
    options  TEXT NOT NULL,                 -- JSON: what the run was started with
    commits  INTEGER NOT NULL DEFAULT 0     -- number of the newest commit
);

-- Every manager that worked on the run. One that was killed has no "until".
CREATE TABLE managers (
    epoch       INTEGER PRIMARY KEY,
    pid         INTEGER NOT NULL,
    start_ticks INTEGER NOT NULL,           -- when the process started, in clock ticks after boot
    boot_id     TEXT NOT NULL,              -- boot id and pid namespace
    hostname    TEXT NOT NULL,
    since       REAL NOT NULL,
    until       REAL
);

-- What to run. Repeats differ in name and number only, and share one row.
CREATE TABLE specs (
    id   INTEGER PRIMARY KEY,
    spec TEXT NOT NULL                      -- JSON of a JobSpec without name and index
);

-- The jobs, in the order of the jobfile.
CREATE TABLE jobs (
    number      INTEGER PRIMARY KEY,        -- from 1
    name        TEXT NOT NULL,
    spec        INTEGER NOT NULL REFERENCES specs (id),
    repeat      INTEGER NOT NULL,           -- the JobSpec's index
    only_host   TEXT,                       -- host that a per_host job belongs to
    state       TEXT NOT NULL
                CHECK (
        state = 'free' OR     -- a: -> busy (launched)   b: -> error (given up before a launch)
        state = 'busy' OR     -- c: -> done   d: -> error   e: -> unknown (its host is away)   f: -> free (for a retry)
        state = 'done' OR     --
        state = 'unknown' OR  -- g: -> busy (its host is back)   h: -> done   i: -> error   j: -> free
        state = 'error'       -- k: -> free (a person asks for a retry)
    ),
    outcome     TEXT
                CHECK (outcome = 'succeeded' OR outcome = 'failed' OR outcome = 'signalled' OR outcome = 'timed_out'
                       OR outcome = 'out_of_memory' OR outcome = 'never_started' OR outcome = 'lost'
                       OR outcome = 'cancelled' OR outcome = 'skipped'),
    exit_status INTEGER,
    signal      INTEGER,
    reason      TEXT,
    host        TEXT,                       -- of the newest attempt
    changed     INTEGER NOT NULL DEFAULT 0, -- number of the commit that last changed it; 0: never
    paused      INTEGER,                    -- 1: by a person; 0: it was, and its host may not know that it goes on
    params      TEXT,                       -- JSON: the values of its parameters, in the order of the spec's names
    not_before  REAL                        -- it is not tried again before that time, by the manager's clock
);

CREATE UNIQUE INDEX jobs_by_name ON jobs (name);

-- For readers that follow the run. Jobs that nothing happened to yet are not in it: they cost nothing.
CREATE INDEX jobs_by_change ON jobs (changed) WHERE changed > 0;

-- Every launch. The row is committed before the launch leaves.
CREATE TABLE attempts (
    job         INTEGER NOT NULL REFERENCES jobs (number),
    n           INTEGER NOT NULL,           -- from 1, never reused
    host        TEXT NOT NULL,
    token       TEXT NOT NULL,
    state       TEXT NOT NULL
                CHECK (state = 'free' OR state = 'busy' OR state = 'done' OR state = 'unknown' OR state = 'error'),
    outcome     TEXT,
    exit_status INTEGER,
    signal      INTEGER,
    reason      TEXT,
    started     REAL,
    ended       REAL,
    pid         INTEGER,                    -- of the job's main process, on the host
    out_size    INTEGER,                    -- bytes of stdout
    err_size    INTEGER,                    -- bytes of stderr
    cpu         REAL,                       -- seconds, user and system
    rss         INTEGER,                    -- bytes, the most that was resident
    released    INTEGER NOT NULL DEFAULT 0, -- 1: nothing of it is on the host any more that we need
    out_crc     INTEGER,                    -- crc32 of stdout; NULL: several managers took it in
    err_crc     INTEGER,                    -- crc32 of stderr
    cause       TEXT,                       -- why it ended so, where the outcome alone does not tell
    result      TEXT,                       -- JSON object: what the job left as its result
    inputs      TEXT,                       -- digest of what it was given to read; NULL: nothing, or it is not known
    origin      TEXT,                       -- the run that it was made in and carried over from; NULL: this one
    gpus        TEXT,                       -- the UUIDs of the GPUs that it was given, parted by blanks; NULL: none
    left_out    TEXT,                       -- behind how many bytes, and how many of stdout and of stderr; NULL: none
    PRIMARY KEY (job, n)
) WITHOUT ROWID;

-- What attempts were given to read: files, standard input, and what their jobs use beside that.
CREATE TABLE inputs (
    digest  TEXT PRIMARY KEY,               -- hex digits
    listing TEXT                            -- JSON: a list of kind, name and content; NULL where that is too long
) WITHOUT ROWID;

-- The files that were brought of an attempt; of one that was to leave none there is no row.
CREATE TABLE brought (
    job    INTEGER NOT NULL REFERENCES jobs (number),
    n      INTEGER NOT NULL,
    files  INTEGER NOT NULL,
    size   INTEGER NOT NULL,                -- bytes of all of them
    digest TEXT NOT NULL,                   -- sha256 over a line for each: sha256, size, path, NUL
    PRIMARY KEY (job, n)
) WITHOUT ROWID;

-- Jobs that a person has cancelled after they were launched, until they have ended.
CREATE TABLE cancelled (
    job INTEGER PRIMARY KEY REFERENCES jobs (number)
);

-- The hosts of the run, in the order of the hosts file.
CREATE TABLE hosts (
    position INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    host     TEXT NOT NULL,                 -- JSON of a Host
    facts    TEXT,                          -- JSON: what the host last told about itself
    state    TEXT,
    reason   TEXT,
    since    REAL,                          -- when the state began
    pulse    TEXT,                          -- JSON: how the host fares, as it last said, and "at", when that came
    silent   REAL                           -- since when it does not answer although its connection is there
);

-- How hosts were prepared before their first job: every launch, as of attempts.
CREATE TABLE setups (
    host        TEXT NOT NULL,
    n           INTEGER NOT NULL,           -- from 1 for each host
    number      INTEGER NOT NULL,           -- of the job that it is to the host; no job of the run has it
    token       TEXT NOT NULL,
    boot        TEXT NOT NULL,              -- boot id of the host that it was sent to
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

-- What is to be told of the run by commands and messages. A row is there before it is told, and until it was.
CREATE TABLE notices (
    id        TEXT PRIMARY KEY,
    event     TEXT NOT NULL,                -- done, failure or host_lost
    recipient TEXT NOT NULL,                -- JSON: a command or an address
    about     TEXT NOT NULL,                -- JSON: what there is to tell
    made      REAL NOT NULL,
    tries     INTEGER NOT NULL,
    delivered REAL,                         -- NULL: not yet
    error     TEXT                          -- why the newest try failed
) WITHOUT ROWID;

-- How many jobs are in each state with each outcome ('' for none yet), so that a summary reads a few rows.
CREATE TABLE counts (
    state   TEXT NOT NULL,
    outcome TEXT NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (state, outcome)
) WITHOUT ROWID;

-- New jobs are counted by who adds them, once for all of them; a trigger for each would double the cost.
CREATE TRIGGER count_moves AFTER UPDATE OF state, outcome ON jobs
WHEN OLD.state IS NOT NEW.state OR OLD.outcome IS NOT NEW.outcome
BEGIN
    UPDATE counts SET n = n - 1 WHERE state = OLD.state AND outcome = ifnull(OLD.outcome, '');
    INSERT INTO counts (state, outcome, n) VALUES (NEW.state, ifnull(NEW.outcome, ''), 1)
        ON CONFLICT (state, outcome) DO UPDATE SET n = n + 1;
END;
