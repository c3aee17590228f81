-- no merge deletes by the server's clock

-- TTLs of events, revoked, drops, trims and changes are removed by the program, where there are any.
