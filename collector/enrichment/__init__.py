"""From data of the request to attributes of an event: address, device, bot, country, referrer, channel, URL."""
