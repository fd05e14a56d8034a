"""How long tests wait for what has to come."""

from typing import Final

__all__ = ["HANG_S"]

HANG_S: Final = 120
"""Seconds after which a test counts as hanging; much more than any takes on a busy machine."""
