-- A store as version 2 wrote it. Never edited: newer versions must go on reading it.
PRAGMA application_id = 1936943210;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
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
    PRIMARY KEY (job, n)
) WITHOUT ROWID;
INSERT INTO "attempts" VALUES(2,1,'a','token-1-0','busy',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "attempts" VALUES(3,1,'a','token-2-0','busy',NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "attempts" VALUES(4,1,'a','token-3-0','error','never_started',NULL,NULL,'taken back before it started',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL);
INSERT INTO "attempts" VALUES(5,1,'a','token-4-0','error','never_started',NULL,NULL,'the host cannot take it: no space left on device',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL);
INSERT INTO "attempts" VALUES(6,1,'a','token-5-0','error','failed',127,NULL,'the host''s fault, not the job''s: exit 127',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL);
INSERT INTO "attempts" VALUES(7,1,'a','token-6-0','busy',NULL,NULL,NULL,'the host went down after it was launched; it may have run',NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,NULL,NULL);
INSERT INTO "attempts" VALUES(8,1,'a','token-7-0','error','lost',NULL,NULL,'the host was restarted',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL);
INSERT INTO "attempts" VALUES(9,1,'a','token-8-0','error','failed',NULL,NULL,'the host''s fault, not the job''s',NULL,NULL,NULL,NULL,NULL,NULL,NULL,1,NULL,NULL);
CREATE TABLE counts (
    state   TEXT NOT NULL,
    outcome TEXT NOT NULL,
    n       INTEGER NOT NULL,
    PRIMARY KEY (state, outcome)
) WITHOUT ROWID;
INSERT INTO "counts" VALUES('busy','',3);
INSERT INTO "counts" VALUES('error','failed',1);
INSERT INTO "counts" VALUES('error','lost',1);
INSERT INTO "counts" VALUES('free','',4);
CREATE TABLE hosts (
    position INTEGER PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    host     TEXT NOT NULL,                 -- JSON of a Host
    facts    TEXT,                          -- JSON: what the host last told about itself
    state    TEXT,
    reason   TEXT,
    since    REAL                           -- when the state began
);
INSERT INTO "hosts" VALUES(1,'a','{"name": "a", "user": null, "port": null, "slots": null, "python": null, "tags": [], "local": false, "via": null, "drained": false, "removed": false}',NULL,NULL,NULL,NULL);
INSERT INTO "hosts" VALUES(2,'b','{"name": "b", "user": null, "port": null, "slots": null, "python": null, "tags": ["gpu"], "local": false, "via": null, "drained": false, "removed": false}',NULL,NULL,NULL,NULL);
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
    changed     INTEGER NOT NULL DEFAULT 0  -- number of the commit that last changed it; 0: never
);
INSERT INTO "jobs" VALUES(1,'sim-1',1,1,NULL,'free',NULL,NULL,NULL,'paused by hand',NULL,2);
INSERT INTO "jobs" VALUES(2,'sim-2',1,2,NULL,'busy',NULL,NULL,NULL,'paused by hand','a',2);
INSERT INTO "jobs" VALUES(3,'sim-3',1,3,NULL,'busy',NULL,NULL,NULL,'goes on after a pause','a',2);
INSERT INTO "jobs" VALUES(4,'sim-4',1,4,NULL,'free',NULL,NULL,NULL,'attempt 1 ended never_started: taken back before it started','a',2);
INSERT INTO "jobs" VALUES(5,'sim-5',1,5,NULL,'free',NULL,NULL,NULL,'attempt 1 ended never_started: the host cannot take it: no space left on device','a',2);
INSERT INTO "jobs" VALUES(6,'sim-6',1,6,NULL,'free',NULL,NULL,NULL,'attempt 1 ended failed: the host''s fault, not the job''s: exit 127','a',2);
INSERT INTO "jobs" VALUES(7,'sim-7',1,7,NULL,'busy',NULL,NULL,NULL,NULL,'a',2);
INSERT INTO "jobs" VALUES(8,'sim-8',1,8,NULL,'error','lost',NULL,NULL,'the host was restarted','a',2);
INSERT INTO "jobs" VALUES(9,'sim-9',1,9,NULL,'error','failed',NULL,NULL,'the host''s fault, not the job''s','a',2);
CREATE TABLE managers (
    epoch       INTEGER PRIMARY KEY,
    pid         INTEGER NOT NULL,
    start_ticks INTEGER NOT NULL,           -- when the process started, in clock ticks after boot
    boot_id     TEXT NOT NULL,              -- boot id and pid namespace
    hostname    TEXT NOT NULL,
    since       REAL NOT NULL,
    until       REAL
);
INSERT INTO "managers" VALUES(1,1,1,'b','h',1700000000.5,1700000009.0);
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
INSERT INTO "run" VALUES(1,'0123456789abcdef0123456789abcdef','sweep-1',1700000000.5,1,'running','{"slots": 2, "paused": true}',3);
CREATE TABLE specs (
    id   INTEGER PRIMARY KEY,
    spec TEXT NOT NULL                      -- JSON of a JobSpec without name and index
);
INSERT INTO "specs" VALUES(1,'{"cmds": ["echo hello"], "host_retries": 3, "leftovers": "kill", "strict": true}');
CREATE INDEX jobs_by_change ON jobs (changed) WHERE changed > 0;
CREATE TRIGGER count_moves AFTER UPDATE OF state, outcome ON jobs
WHEN OLD.state IS NOT NEW.state OR OLD.outcome IS NOT NEW.outcome
BEGIN
    UPDATE counts SET n = n - 1 WHERE state = OLD.state AND outcome = ifnull(OLD.outcome, '');
    INSERT INTO counts (state, outcome, n) VALUES (NEW.state, ifnull(NEW.outcome, ''), 1)
        ON CONFLICT (state, outcome) DO UPDATE SET n = n + 1;
END;
CREATE UNIQUE INDEX jobs_by_name ON jobs (name);
COMMIT;
