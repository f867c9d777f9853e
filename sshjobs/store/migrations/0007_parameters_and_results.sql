-- Parameters of jobs, and what attempts left as their result.
ALTER TABLE jobs ADD COLUMN params TEXT;
ALTER TABLE attempts ADD COLUMN result TEXT;
