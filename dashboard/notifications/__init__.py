"""Mails and webhooks: reports that come by themselves, alerts, and the transport of both."""
