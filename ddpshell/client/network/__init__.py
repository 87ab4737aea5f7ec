"""Network connections to a DDP server: addresses, proxies, TLS, the WebSocket handshake and frames."""

from __future__ import annotations

__all__: list[str] = []
