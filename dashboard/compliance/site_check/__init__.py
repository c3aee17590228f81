"""Inspection of a website's page: the tag, the consent banner and the content security policy."""
