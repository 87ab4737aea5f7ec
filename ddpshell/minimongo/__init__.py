"""Mongo's query language as Meteor implements it: selectors, modifiers, projections and sort orders for EJSON values."""

from __future__ import annotations

__all__: list[str] = []
