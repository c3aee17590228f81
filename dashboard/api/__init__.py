"""JSON for programs: management, statistics, privacy, operations and the OpenAPI document."""
