"""The applications' packages, importable in tests though they live among the platform's data."""

from __future__ import annotations

import sys
from pathlib import Path

APPS = Path(__file__).parents[2] / "platform" / "apps"

for folder in sorted(map(str, APPS.iterdir())):
    if folder not in sys.path:
        sys.path.append(folder)  # at the end: they must never hide a module of the harness
