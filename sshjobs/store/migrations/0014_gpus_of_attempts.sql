-- The GPUs that attempts were given.
ALTER TABLE attempts ADD COLUMN gpus TEXT;
