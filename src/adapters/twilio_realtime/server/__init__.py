"""The web service for Twilio: webhook, media streams, settings, public URL."""
