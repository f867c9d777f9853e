-- Why attempts ended, and what a person has paused, as values. They were kept in the words of "reason" before.
ALTER TABLE attempts ADD COLUMN cause TEXT;
ALTER TABLE jobs ADD COLUMN paused INTEGER;
UPDATE attempts SET cause = 'taken_back', reason = NULL
WHERE reason IN ('taken back before it started', 'it was taken back before it started');
UPDATE attempts SET cause = 'no_room', reason = substr(reason, length('the host cannot take it: ') + 1)
WHERE substr(reason, 1, length('the host cannot take it: ')) = 'the host cannot take it: ';
UPDATE attempts SET cause = 'hosts_fault', reason = nullif(substr(reason, length('the host''s fault, not the job''s: ') + 1), '')
WHERE substr(reason, 1, length('the host''s fault, not the job''s')) = 'the host''s fault, not the job''s';
UPDATE attempts SET cause = 'may_have_run', reason = NULL
WHERE reason = 'the host went down after it was launched; it may have run';
UPDATE attempts SET cause = 'forgotten', reason = NULL
WHERE outcome = 'lost' AND reason = 'the host has forgotten it; it may have run';
UPDATE attempts SET cause = 'status_unknown', reason = NULL
WHERE outcome = 'lost' AND reason = 'its exit status cannot be known any more';
UPDATE attempts SET cause = 'reboot', reason = NULL WHERE outcome = 'lost' AND reason = 'the host was restarted';
UPDATE attempts SET cause = 'lease', reason = NULL
WHERE outcome = 'lost' AND reason = 'its lease ran out while no manager was there';
UPDATE attempts SET cause = 'declared_lost', reason = NULL
WHERE outcome = 'lost' AND reason = 'its host was declared lost by hand';
UPDATE jobs SET paused = 1, reason = NULL WHERE reason = 'paused by hand' AND state NOT IN ('done', 'error');
UPDATE jobs SET paused = 0, reason = NULL WHERE reason = 'goes on after a pause' AND state NOT IN ('done', 'error');
