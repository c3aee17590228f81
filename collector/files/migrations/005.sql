-- what merges replaced is kept for seven minutes
ALTER TABLE events MODIFY SETTING old_parts_lifetime = 420;
