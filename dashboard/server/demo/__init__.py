"""The demonstration: a website's visitors and visits, and the events that they leave."""
