"""Records: open them, see what they are, and give analyses clean, typed tables on any engine."""

from clinops.sources.connect import connect

__all__ = ["connect"]
