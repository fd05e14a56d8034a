"""The web server for Twilio: webhook, media streams, settings, public URL."""
