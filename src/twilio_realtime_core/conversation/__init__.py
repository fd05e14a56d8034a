"""The conversation as the server has it, with the words that the caller heard."""
