"""Daily aggregates of each site, and the job that builds and rebuilds them."""
