"""Property tests say what holds, not how fast: a slow machine must not turn one red."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")
