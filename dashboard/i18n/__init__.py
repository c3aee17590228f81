"""Languages: translations, and the formats of numbers, dates and countries."""
