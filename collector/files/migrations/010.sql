-- inserts of many collectors are remembered for an hour
ALTER TABLE events MODIFY SETTING non_replicated_deduplication_window = 100000;
