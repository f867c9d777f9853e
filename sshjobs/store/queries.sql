-- Every query of the store. Each begins with a line that names it; the line below says what it is for.

-- name: begin
-- Open a transaction that will write, and wait here, not later, for another writer.
BEGIN IMMEDIATE;

-- name: begin_snapshot
-- Open a transaction whose reads all see the same state.
BEGIN DEFERRED;

-- name: commit
-- Make the transaction durable.
COMMIT;

-- name: roll_back
-- Undo the transaction.
ROLLBACK;

-- name: insert_run
-- Record the run itself.
INSERT INTO run (id, uid, name, created, options) VALUES (1, :uid, :name, :created, :options);

-- name: select_run
-- The run's own row.
SELECT uid, name, created, epoch, state, options, commits FROM run;

-- name: select_commit
-- Who may write, and the number of the newest commit.
SELECT epoch, commits FROM run;

-- name: update_commit
-- Number a commit.
UPDATE run SET commits = :commits;

-- name: update_run_state
-- Set the state of the run.
UPDATE run SET state = :state;

-- name: select_options
-- What the run was started with, and what people changed in that since.
SELECT options FROM run;

-- name: update_options
-- Change that.
UPDATE run SET options = :options;

-- name: update_epoch
-- Make a manager the newest one.
UPDATE run SET epoch = :epoch;

-- name: insert_manager
-- Record a manager that begins to work on the run.
INSERT INTO managers (epoch, pid, start_ticks, boot_id, hostname, since)
VALUES (:epoch, :pid, :start_ticks, :boot_id, :hostname, :since);

-- name: select_manager
-- The newest manager.
SELECT pid, start_ticks, boot_id, hostname, since, until FROM managers ORDER BY epoch DESC LIMIT 1;

-- name: end_manager
-- Record that a manager left by itself.
UPDATE managers SET until = :until WHERE epoch = :epoch;

-- name: insert_spec
-- Add a spec.
INSERT INTO specs (spec) VALUES (?);

-- name: select_spec
-- One spec.
SELECT spec FROM specs WHERE id = ?;

-- name: insert_job
-- Add a job; add_count has to follow in the same transaction.
INSERT INTO jobs (number, name, spec, repeat, only_host, state, outcome, exit_status, signal, reason, host, paused, params)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: add_count
-- Count jobs that were added.
INSERT INTO counts (state, outcome, n) VALUES (?, ?, ?)
ON CONFLICT (state, outcome) DO UPDATE SET n = n + excluded.n;

-- name: delete_attempts
-- Forget the attempts of a job that is withdrawn.
DELETE FROM attempts WHERE job = ?;

-- name: delete_job
-- Forget a job that is withdrawn; add_count has to follow in the same transaction.
DELETE FROM jobs WHERE number = ?;

-- name: update_job
-- Write where a job stands; a trigger keeps the counts.
UPDATE jobs SET state = ?, outcome = ?, exit_status = ?, signal = ?, reason = ?, host = ?, paused = ?,
                not_before = ?, changed = ?
WHERE number = ?;

-- name: insert_cancelled
-- Note that a job is to be ended, once.
INSERT OR IGNORE INTO cancelled (job) VALUES (?);

-- name: delete_cancelled
-- It has ended.
DELETE FROM cancelled WHERE job = ?;

-- name: write_attempt
-- Write an attempt, whether it is new or known. A result that is not given is one that was put aside.
INSERT INTO attempts (job, n, host, token, state, outcome, exit_status, signal, reason, started, ended, pid,
                      out_size, err_size, cpu, rss, released, out_crc, err_crc, cause, result, inputs, origin, gpus,
                      left_out)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (job, n) DO UPDATE SET
    state = excluded.state, outcome = excluded.outcome, exit_status = excluded.exit_status,
    signal = excluded.signal, reason = excluded.reason, started = excluded.started, ended = excluded.ended,
    pid = excluded.pid, out_size = excluded.out_size, err_size = excluded.err_size, cpu = excluded.cpu,
    rss = excluded.rss, released = excluded.released, out_crc = excluded.out_crc, err_crc = excluded.err_crc,
    cause = excluded.cause, result = coalesce(excluded.result, result), inputs = excluded.inputs, origin = excluded.origin,
    gpus = excluded.gpus, left_out = excluded.left_out;

-- name: insert_inputs
-- Keep what the inputs of attempts consist of, once.
INSERT OR IGNORE INTO inputs (digest, listing) VALUES (?, ?);

-- name: select_inputs
-- What inputs of that digest consist of.
SELECT listing FROM inputs WHERE digest = ?;

-- name: write_brought
-- Write which files were brought of an attempt.
INSERT OR REPLACE INTO brought (job, n, files, size, digest) VALUES (?, ?, ?, ?, ?);

-- name: delete_brought
-- Forget the files of a job that is withdrawn.
DELETE FROM brought WHERE job = ?;

-- name: select_brought
-- Which files were brought of the attempts of a range of jobs.
SELECT job, n, files, size, digest FROM brought WHERE job BETWEEN ? AND ?;

-- name: release_attempt
-- Note that nothing of an attempt is on its host any more.
UPDATE attempts SET released = 1 WHERE job = ? AND n = ?;

-- name: insert_host
-- Add a host behind those that are there; of one that is there its description changes.
INSERT INTO hosts (name, host) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET host = excluded.host;

-- name: update_host
-- Write where a host stands; facts that are NULL stay as they were, and silence is over.
UPDATE hosts SET state = ?, reason = ?, since = ?, facts = ifnull(?, facts), silent = NULL WHERE name = ?;

-- name: update_silence
-- Write since when a host does not answer; NULL where it does again.
UPDATE hosts SET silent = ? WHERE name = ?;

-- name: update_pulse
-- Write how a host fares.
UPDATE hosts SET pulse = ? WHERE name = ?;

-- name: select_hosts
-- All hosts, in the order of the hosts file.
SELECT name, host, facts, state, reason, since, pulse, silent FROM hosts ORDER BY position;

-- name: count_hosts
-- How many hosts the run has, without those that a person has taken out of it.
SELECT count(*) FROM hosts WHERE host NOT LIKE '%"removed": true%';

-- name: select_hosts_in_use
-- The hosts on which something is left of an attempt.
SELECT DISTINCT host FROM attempts WHERE released = 0;

-- name: select_counts
-- How many jobs are in each state with each outcome.
SELECT state, outcome, n FROM counts;

-- name: recount
-- The same, counted anew: for checks.
SELECT state, ifnull(outcome, ''), count(*) FROM jobs GROUP BY 1, 2;

-- name: select_jobs
-- A page of the jobs, in order. Fewer than five states are padded by repeating one.
SELECT number, name, state, outcome, exit_status, signal, host, reason, only_host, paused, not_before FROM jobs
WHERE number > ? AND state IN (?, ?, ?, ?, ?) ORDER BY number LIMIT ?;

-- name: select_job
-- One job by its name.
SELECT number, name, state, outcome, exit_status, signal, host, reason, only_host, paused, not_before FROM jobs WHERE name = ?;

-- name: select_changed
-- A page of the jobs that changed after a commit, oldest change first.
SELECT number, name, state, outcome, exit_status, signal, host, reason, only_host, paused, not_before, changed FROM jobs
WHERE changed > 0 AND changed > ? AND changed <= ? ORDER BY changed, number;

-- name: select_attempts
-- The attempts of a range of jobs, in order.
SELECT job, n, host, token, state, outcome, exit_status, signal, reason, started, ended, pid,
       out_size, err_size, cpu, rss, released, out_crc, err_crc, cause, result, inputs, origin, gpus, left_out
FROM attempts WHERE job BETWEEN ? AND ? ORDER BY job, n;

-- name: select_names_from
-- Names from a given one on, in alphabetical order: candidates for a suggestion.
SELECT name FROM jobs WHERE name >= ? ORDER BY name LIMIT ?;

-- name: select_unfinished
-- The jobs that a new manager has to know: not at their end, or with something left on a host.
SELECT number, name, spec, repeat, only_host, state, outcome, exit_status, signal, reason, host, paused, params, not_before FROM jobs
WHERE state NOT IN ('done', 'error') OR number IN (SELECT job FROM attempts WHERE released = 0)
ORDER BY number;

-- name: select_cancelled
-- The jobs that are to be ended.
SELECT job FROM cancelled;

-- name: select_full_job
-- One job by its name, as a manager needs it.
SELECT number, name, spec, repeat, only_host, state, outcome, exit_status, signal, reason, host, paused, params, not_before FROM jobs
WHERE name = ?;

-- name: select_skipped
-- The names of jobs that were skipped.
SELECT name FROM jobs WHERE state = 'error' AND outcome = 'skipped' ORDER BY number;

-- name: select_entries
-- The specs whose jobs are of an entry with another name than theirs, or have parameters: with the names of these.
SELECT id, json_extract(spec, '$.entry'), json_extract(spec, '$.param_names') FROM specs
WHERE json_extract(spec, '$.entry') IS NOT NULL OR json_extract(spec, '$.param_names') IS NOT NULL;

-- name: select_members
-- Every job as those see it that wait for it.
SELECT name, spec, params, state, outcome FROM jobs ORDER BY number;

-- name: select_left
-- The jobs of which files were brought, with the host that these were made on and their bytes; of each the newest last.
SELECT name, spec, attempts.host, size FROM brought JOIN attempts USING (job, n) JOIN jobs ON number = job
WHERE origin IS NULL ORDER BY job, n;

-- name: select_results
-- A page of the jobs in order, each with its newest attempt and what that left.
SELECT number, jobs.name, spec, params, jobs.state, jobs.outcome, jobs.exit_status, jobs.signal, jobs.reason,
       ifnull(attempts.host, jobs.host), n, started, ended, cpu, rss, result, origin
FROM jobs LEFT JOIN attempts ON job = number AND n = (SELECT max(n) FROM attempts WHERE job = number)
WHERE number > ? ORDER BY number LIMIT ?;

-- name: select_spec_names
-- The specs whose jobs have parameters, or are of an entry with another name than theirs.
SELECT id, json_extract(spec, '$.entry'), json_extract(spec, '$.param_names') FROM specs
WHERE json_extract(spec, '$.entry') IS NOT NULL OR json_extract(spec, '$.param_names') IS NOT NULL;

-- name: select_followers
-- Whether any job waits for others.
SELECT EXISTS (SELECT 1 FROM specs WHERE json_extract(spec, '$.after') IS NOT NULL);

-- name: select_work
-- A page of the jobs as others compare themselves with them: what they are, where they stand, and their newest attempt.
SELECT number, name, spec, repeat, params, only_host, jobs.state, jobs.outcome, jobs.exit_status,
       jobs.signal, jobs.reason,
       n, attempts.host, attempts.started, attempts.ended, attempts.out_size, attempts.err_size, inputs, origin
FROM jobs LEFT JOIN attempts ON job = number AND n = (SELECT max(n) FROM attempts WHERE job = number)
WHERE number > ? ORDER BY number LIMIT ?;

-- name: select_last_number
-- The number of the last job, 0 where there is none.
SELECT ifnull(max(number), 0) FROM jobs;

-- name: select_unfinished_attempts
-- All attempts of those jobs.
SELECT job, n, attempts.host, token, attempts.state, attempts.outcome, attempts.exit_status, attempts.signal,
       attempts.reason, started, ended, pid, out_size, err_size, cpu, rss, released, out_crc, err_crc, cause, result,
       inputs, origin, gpus, left_out
FROM attempts JOIN jobs ON jobs.number = attempts.job
WHERE jobs.state NOT IN ('done', 'error') OR job IN (SELECT job FROM attempts WHERE released = 0)
ORDER BY job, n;

-- name: check_file
-- What SQLite itself finds wrong with the file; "ok" where nothing is.
PRAGMA integrity_check(20);

-- name: check_outcomes
-- Jobs whose outcome does not fit their state: done is succeeded, error is any other, the rest have none.
SELECT name FROM jobs
WHERE CASE state WHEN 'done' THEN outcome IS NOT 'succeeded'
                 WHEN 'error' THEN outcome IS NULL OR outcome = 'succeeded'
                 ELSE outcome IS NOT NULL END
ORDER BY number LIMIT 100;

-- name: check_busy
-- Jobs that are on a host without an attempt that is.
SELECT name FROM jobs
WHERE state IN ('busy', 'unknown')
  AND NOT EXISTS (SELECT 1 FROM attempts WHERE job = number AND attempts.state IN ('busy', 'unknown'))
ORDER BY number LIMIT 100;

-- name: check_idle
-- Jobs that are on no host with an attempt that is.
SELECT name FROM jobs
WHERE state NOT IN ('busy', 'unknown')
  AND EXISTS (SELECT 1 FROM attempts WHERE job = number AND attempts.state IN ('busy', 'unknown'))
ORDER BY number LIMIT 100;

-- name: check_doubled
-- Jobs with two attempts that are on a host at once.
SELECT name FROM jobs
WHERE number IN (SELECT job FROM attempts WHERE state IN ('busy', 'unknown') GROUP BY job HAVING count(*) > 1)
ORDER BY number LIMIT 100;

-- name: check_gaps
-- Jobs whose attempts are not numbered 1, 2, 3.
SELECT name FROM jobs
WHERE number IN (SELECT job FROM attempts GROUP BY job HAVING min(n) <> 1 OR max(n) <> count(*))
ORDER BY number LIMIT 100;

-- name: select_index
-- A page of what an index of the jobs holds, in order.
SELECT number, name, state, outcome, host, spec, params FROM jobs WHERE number > ? ORDER BY number LIMIT ?;

-- name: select_index_entries
-- Of a range of specs those whose jobs are of an entry with another name than theirs, or have parameters.
SELECT id, json_extract(spec, '$.entry'), json_extract(spec, '$.param_names') FROM specs
WHERE id BETWEEN ? AND ?
  AND (json_extract(spec, '$.entry') IS NOT NULL OR json_extract(spec, '$.param_names') IS NOT NULL);

-- name: select_index_params
-- The same of some jobs, whose numbers are given as a JSON list.
SELECT number, name, state, outcome, host, spec, params FROM jobs
WHERE number IN (SELECT value FROM json_each(?)) ORDER BY number;

-- name: select_index_attempts
-- What the same index holds of the attempts of a range of jobs.
SELECT job, host, state, outcome, started, ended, cpu, ifnull(out_size, 0) + ifnull(err_size, 0)
FROM attempts WHERE job BETWEEN ? AND ? ORDER BY job, n;

-- name: select_full_row
-- One job by its number.
SELECT number, name, state, outcome, exit_status, signal, host, reason, only_host, paused, not_before FROM jobs WHERE number = ?;

-- name: select_spec_of
-- What a job is to run: the id of its spec's row, and what is its own of that.
SELECT spec, name, repeat, params FROM jobs WHERE number = ?;

-- name: select_numbers_by_name
-- The numbers of all jobs in the order of their names, straight from the index of these.
SELECT number FROM jobs ORDER BY name;

-- name: select_numbers
-- The numbers of all jobs.
SELECT number FROM jobs ORDER BY number;

-- name: any_memory
-- Whether any job says how much memory it needs.
SELECT EXISTS (SELECT 1 FROM specs WHERE json_extract(spec, '$.memory') IS NOT NULL);

-- name: select_memory
-- The jobs of a range that say how much memory they need, with that.
SELECT jobs.number, json_extract(specs.spec, '$.memory') FROM jobs JOIN specs ON specs.id = jobs.spec
WHERE jobs.number BETWEEN ? AND ? AND json_extract(specs.spec, '$.memory') IS NOT NULL;

-- name: write_setup
-- Write how a host is prepared, whether it is new or known.
INSERT OR REPLACE INTO setups (host, n, number, token, boot, state, outcome, exit_status, signal, reason, cause, started,
                               ended)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- name: select_setups
-- How hosts were prepared, in order.
SELECT host, n, number, token, boot, state, outcome, exit_status, signal, reason, cause, started, ended
FROM setups ORDER BY host, n;

-- name: select_failed
-- A page of the jobs that ended without success, each with its newest attempt where its end is that of the job.
SELECT number, name, spec, params, jobs.state, jobs.outcome, jobs.exit_status, jobs.signal,
       CASE WHEN attempts.outcome IS jobs.outcome THEN cause END,
       CASE WHEN attempts.outcome IS jobs.outcome THEN attempts.reason END, jobs.reason,
       attempts.host, only_host, ifnull(n, 0), ifnull(n, 0), out_size, err_size
FROM jobs LEFT JOIN attempts ON job = number AND n = (SELECT max(n) FROM attempts WHERE job = number)
WHERE number > ? AND jobs.state = 'error' ORDER BY number LIMIT ?;

-- name: select_tried_again
-- A page of the attempts that ended without success and whose jobs went on, in the same form.
SELECT number, name, spec, params, jobs.state, attempts.outcome, attempts.exit_status, attempts.signal, cause,
       attempts.reason, NULL, attempts.host, only_host, n, (SELECT max(n) FROM attempts WHERE job = number), out_size, err_size
FROM attempts JOIN jobs ON number = job
WHERE (job, n) > (?, ?) AND attempts.state = 'error' AND jobs.state <> 'error'
  AND attempts.outcome IN ('failed', 'signalled', 'timed_out', 'out_of_memory', 'lost') ORDER BY job, n LIMIT ?;

-- name: select_passed
-- A page of the jobs that succeeded, in order: where, and with which parameters.
SELECT number, spec, params, host FROM jobs WHERE number > ? AND state = 'done' ORDER BY number LIMIT ?;

-- name: write_notice
-- Something that is to be told, or what became of that.
INSERT OR REPLACE INTO notices (id, event, recipient, about, made, tries, delivered, error) VALUES (?, ?, ?, ?, ?, ?, ?, ?);

-- name: select_notices
-- All that was to be told, oldest first.
SELECT id, event, recipient, about, made, tries, delivered, error FROM notices ORDER BY made, id;

-- name: select_size
-- The bytes of all outputs, and of all files that were brought.
SELECT (SELECT ifnull(sum(ifnull(out_size, 0) + ifnull(err_size, 0)), 0) FROM attempts)
     + (SELECT ifnull(sum(size), 0) FROM brought);

-- name: count_started
-- How many jobs are known to have started, counted up to a number.
SELECT count(*) FROM (SELECT DISTINCT job FROM attempts WHERE started IS NOT NULL LIMIT ?);

-- name: select_left_out
-- The attempts that wrote more than is kept: name of the job, number, whether it is the newest, and what was left out.
SELECT name, n, n = (SELECT max(n) FROM attempts AS others WHERE others.job = number), left_out
FROM attempts JOIN jobs ON number = job WHERE left_out IS NOT NULL ORDER BY number, n LIMIT ?;

-- name: select_lengths
-- The jobs of a range, each with its newest attempt: what tells how long jobs take, and what is left to do.
SELECT jobs.state, spec, params, attempts.host, started, ended, paused
FROM jobs LEFT JOIN attempts ON job = number AND n = (SELECT max(n) FROM attempts WHERE job = number)
WHERE number BETWEEN ? AND ?;

-- name: select_lengths_on_hosts
-- The same of the jobs that are on hosts.
SELECT jobs.state, spec, params, attempts.host, started, ended, paused
FROM jobs JOIN attempts ON job = number AND n = (SELECT max(n) FROM attempts WHERE job = number)
WHERE jobs.state IN ('busy', 'unknown') LIMIT ?;

-- name: select_length_specs
-- What the jobs of each spec have in common, and how many slots each of them takes.
SELECT id, json_extract(spec, '$.entry'), json_extract(spec, '$.param_names'), json_extract(spec, '$.cpus') FROM specs;
