"""ClickHouse, embedded or served: client, schema, migrations, document tables, disk guard and backup."""
