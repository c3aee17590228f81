"""Shows what was collected, and serves the whole of Tyst in one process."""
