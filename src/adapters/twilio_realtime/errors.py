"""The error for settings and arguments that the program cannot work with."""

__all__ = ["UsageError"]


class UsageError(ValueError):
    """A setting is missing or invalid.

    The text is a sentence for the person who starts the program. It names the setting to change
    and never contains a key, a token or a URL.
    """
