"""What Meteor's packages add to a DDP server: accounts, collections and their mutator methods."""

from __future__ import annotations

__all__: list[str] = []
