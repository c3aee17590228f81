"""View models: from the state in a URL and query results to what a template prints. No HTTP."""
