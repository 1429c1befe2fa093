"""`infraforge demo`: three recorded histories judged, and a bundle verified, in a few seconds."""

from __future__ import annotations

from infraforge.demo.command import configure

__all__ = ["configure"]
