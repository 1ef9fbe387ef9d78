"""clinops: evaluations of digital care programmes, from raw records to a report."""
from clinops._version import __version__
__all__ = ["__version__"]
