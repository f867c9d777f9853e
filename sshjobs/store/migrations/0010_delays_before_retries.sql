-- Until when a job waits before it is tried again.
ALTER TABLE jobs ADD COLUMN not_before REAL;
