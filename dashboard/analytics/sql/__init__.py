"""SQL of analytics statements."""
