-- what is deleted leaves the disk within minutes
ALTER TABLE events MODIFY SETTING merge_with_ttl_timeout = 3600, min_rows_to_fsync_after_merge = 1,
    old_parts_lifetime = 60, cleanup_delay_period = 30, max_cleanup_delay_period = 60;
ALTER TABLE events MODIFY TTL expires + INTERVAL 2 DAY SETTINGS materialize_ttl_after_modify = 0;
