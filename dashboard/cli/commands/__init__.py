"""The commands of `tyst`, one module each."""
