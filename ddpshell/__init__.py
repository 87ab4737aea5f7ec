"""A command line, a typed client and a small server for DDP, Meteor's protocol."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "1.0.0.dev0"
