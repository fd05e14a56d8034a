"""What is wrong with the way in which the program is used, and what to do about it."""

__all__ = ["UsageError"]


class UsageError(ValueError):
    """A setting is missing or makes no sense. The text is a sentence for whoever starts the
    program; it names what to set, and never shows a key, a token or a URL."""
