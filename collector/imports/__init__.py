"""Import of other products' exports and of access logs: figures for days that this server did not measure."""
