-- How a host fares: what the agent says once a minute.
ALTER TABLE hosts ADD COLUMN pulse TEXT;
