"""The version of graphc."""

__version__ = "0.1.0"
