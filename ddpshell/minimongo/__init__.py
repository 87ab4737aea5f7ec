"""Mongo's query language as Meteor understands it: selectors, modifiers, projections and sort orders, over EJSON values."""

from __future__ import annotations

__all__: list[str] = []
