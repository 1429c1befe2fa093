"""What a benchmark hands back: figures, and what else is to be said, kept or signalled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Result:
    """figures: name → number; lines: what is printed instead of one line for each figure; details:
    JSON that `--json` keeps beside the figures; exit_code: 0, or what a verdict calls for.
    """

    figures: Mapping[str, float]
    lines: Sequence[str] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    exit_code: int = 0
