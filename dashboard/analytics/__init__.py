"""Analytics queries: a `Query` value in, a `Result` out. The only code that reads analytics tables."""
