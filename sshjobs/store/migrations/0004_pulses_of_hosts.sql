-- How a host fares: what the agent says twice a minute.
ALTER TABLE hosts ADD COLUMN pulse TEXT;
