-- Bytes that were left out of the outputs of attempts, as their limit wants it.
ALTER TABLE attempts ADD COLUMN left_out TEXT;
