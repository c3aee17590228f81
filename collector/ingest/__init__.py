"""From an HTTP request to an `Event`: payload, request context, pipeline, visits and rate limit."""
