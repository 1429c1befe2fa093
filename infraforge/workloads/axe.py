"""axe-core, run on a page that a browser shows: what it says of the page's accessibility.

axe comes from npm, pinned beside the suite, and is handed to the page by the driver: the page's
content security policy stays as it is, and axe is in nothing that is shipped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infraforge import folders, npm
from infraforge.errors import Inconclusive
from infraforge.workloads.browser import Browser

PINNED = folders.shipped("suites") / "access" / "axe"
TAGS = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")

_RUN = """
const done = arguments[arguments.length - 1]
const told = (rules) => rules.map((rule) => ({
  rule: rule.id, help: rule.help, impact: rule.impact,
  places: rule.nodes.map((node) => `${node.target.join(' ')}: ${node.failureSummary}`),
}))
axe.run(document, { runOnly: { type: 'tag', values: %s } }).then(
  (found) => done({
    violations: told(found.violations), unsure: told(found.incomplete),
    passed: found.passes.map((rule) => rule.id),
  }),
  (error) => done({ error: String(error) }),
)
"""


@dataclass(frozen=True)
class Finding:
    """A rule that a page breaks. places: a selector each, and what is wrong there."""

    rule: str
    help: str
    impact: str
    places: tuple[str, ...]

    def __str__(self) -> str:
        return "\n  ".join((f"{self.rule} ({self.impact}): {self.help}", *self.places))


@dataclass(frozen=True)
class Findings:
    """Of one page. unsure: what axe cannot tell; passed: the rules that it keeps."""

    violations: tuple[Finding, ...]
    unsure: tuple[Finding, ...]
    passed: tuple[str, ...]

    @property
    def rules(self) -> set[str]:
        """The rules that the page breaks."""
        return {finding.rule for finding in self.violations}

    def __str__(self) -> str:
        return (
            "\n".join(
                [
                    *(f"broken: {finding}" for finding in self.violations),
                    *(f"unsure: {finding}" for finding in self.unsure),
                ]
            )
            or f"{len(self.passed)} rules are kept, none is broken"
        )


def examine(browser: Browser) -> Findings:
    """What axe says of the page as it is now. Raises Inconclusive where axe does not work."""
    source = npm.installed(PINNED, "axe") / "axe-core" / "axe.min.js"
    browser.script(source.read_text())
    found = browser.answer_of(_RUN % list(TAGS))
    if not isinstance(found, Mapping) or "error" in found or not found["passed"]:
        raise Inconclusive(f"axe does not work on {browser.url}: {found}")
    return Findings(
        _findings(found["violations"]), _findings(found["unsure"]), tuple(found["passed"])
    )


def _findings(rules: Sequence[Mapping[str, Any]]) -> tuple[Finding, ...]:
    return tuple(
        Finding(rule["rule"], rule["help"], str(rule["impact"]), tuple(rule["places"]))
        for rule in rules
    )
