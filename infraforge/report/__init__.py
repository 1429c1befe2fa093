"""The report of a run: Allure's HTML, the assessed controls, and a bundle of evidence to keep."""

from __future__ import annotations

from infraforge.report.build import generate
from infraforge.report.command import configure

__all__ = ["configure", "generate"]
