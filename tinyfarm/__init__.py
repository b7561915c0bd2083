"""tinyfarm: find, compile and measure neural networks that fit a microcontroller."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinyfarm.client import Client

__all__ = ["Client"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load `Client` only when asked for: services import `tinyfarm.v1` through this package."""
    if name == "Client":
        from tinyfarm.client import Client

        return Client
    raise AttributeError(f"module 'tinyfarm' has no attribute {name!r}")
