-- What "sshjobs verify" compares outputs with.
ALTER TABLE attempts ADD COLUMN out_crc INTEGER;
ALTER TABLE attempts ADD COLUMN err_crc INTEGER;
