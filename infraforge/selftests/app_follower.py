"""The follower's package, importable in tests though it lives among the platform's data."""

from __future__ import annotations

import sys
from pathlib import Path

APP = Path(__file__).parents[2] / "platform" / "apps" / "follower"

if str(APP) not in sys.path:
    sys.path.append(str(APP))  # at the end: it must never hide a module of the harness
