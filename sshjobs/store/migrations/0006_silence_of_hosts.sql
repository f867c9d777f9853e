-- Since when a host does not answer although its connection is there, for those who watch a run from another process.
ALTER TABLE hosts ADD COLUMN silent REAL;
