"""Calls over Twilio's REST API: a client, its errors, and phone numbers."""
