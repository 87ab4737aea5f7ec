"""A reverse proxy in front of a DDP server, which shows the DDP messages that pass. Browsers connect to it instead."""

from __future__ import annotations
