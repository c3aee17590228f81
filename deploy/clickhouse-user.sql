-- The ClickHouse user that Tyst signs in as. An administrator runs it with another password and, where the database has
-- another name than tyst, with that name. `tyst restore` restores into a database beside it before it exchanges tables.
CREATE DATABASE IF NOT EXISTS tyst;
CREATE USER IF NOT EXISTS tyst IDENTIFIED BY 'change this';
GRANT SELECT, INSERT, CREATE, ALTER, DROP, OPTIMIZE, TRUNCATE, CHECK, BACKUP, SYSTEM MERGES ON tyst.* TO tyst;
GRANT SELECT, INSERT, CREATE, ALTER, DROP ON tyst_restored_*.* TO tyst;
GRANT TABLE ENGINE ON * TO tyst;
GRANT SELECT ON system.parts TO tyst;
GRANT SELECT ON system.tables TO tyst;
GRANT SELECT ON system.disks TO tyst;
GRANT SELECT ON system.columns TO tyst;
GRANT SELECT ON system.merges TO tyst;
GRANT SELECT ON system.mutations TO tyst;
GRANT SELECT ON system.backups TO tyst;
GRANT SELECT ON system.processes TO tyst;
GRANT SELECT ON system.detached_parts TO tyst;
GRANT SELECT ON system.detached_tables TO tyst;
