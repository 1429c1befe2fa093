"""The report of a run: Allure's HTML, the controls it is evidence for, and a bundle to keep."""

from __future__ import annotations

from infraforge.report.build import generate
from infraforge.report.command import configure

__all__ = ["configure", "generate"]
