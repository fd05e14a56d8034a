"""The conversation as the server holds it, with the words that the caller heard."""
