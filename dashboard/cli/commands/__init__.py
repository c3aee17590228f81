"""The subcommands of `tyst`, one module each."""
