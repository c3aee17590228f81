"""The collector put together: lifecycle, background jobs and HTTP endpoints."""
