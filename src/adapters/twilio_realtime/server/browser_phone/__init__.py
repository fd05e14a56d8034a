"""The browser phone: a page for development, which calls the service as Twilio does."""
