"""The table of a sweep: what was varied, how it ended, what came of it; one row a job. Rows in, rows out: no disk."""
