-- What the user of clickhouse-user.sql needs besides on a cluster. An administrator runs both on every node.
GRANT SELECT, INSERT, CREATE, ALTER, DROP, OPTIMIZE, TRUNCATE, CHECK, SYSTEM MERGES ON tyst_local.* TO tyst;
GRANT SHOW COLUMNS ON tyst_local.* TO tyst;
GRANT SELECT ON system.clusters TO tyst;
GRANT REMOTE ON *.* TO tyst;
-- For `tyst check --cluster`, which drops what it has created.
GRANT SELECT, INSERT, CREATE, ALTER, DROP, OPTIMIZE, TRUNCATE, CHECK, SYSTEM MERGES ON tyst_scratch_*.* TO tyst;
GRANT SHOW COLUMNS ON tyst_scratch_*.* TO tyst;
