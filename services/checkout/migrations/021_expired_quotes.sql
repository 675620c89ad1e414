-- outside of a transaction
-- Quotes get a sweep_time from now on, to forget where they came from. Those of before that have expired do so here, where the sweeper
-- would take long and let others wait: nobody can authorise them any more, so nobody waits for their rows. The others are few.
UPDATE checkout SET origin = ''
WHERE state = 'QUOTED' AND sweep_time IS NULL AND expire_time <= now() AND origin <> '';
UPDATE checkout SET sweep_time = expire_time
WHERE state = 'QUOTED' AND sweep_time IS NULL AND origin <> '';
