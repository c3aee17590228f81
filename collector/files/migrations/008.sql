-- visits from data centers can be marked
ALTER TABLE events ADD COLUMN IF NOT EXISTS datacenter Bool;
