"""The dashboard in a real browser, as a signed-in user sees it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from infraforge.stack import Platform
from infraforge.workloads.browser import Browser, chromium
from infraforge.workloads.people import Person

CSP_WORDS = ("Content Security Policy", "Content-Security-Policy", "Refused to")
NOWHERE = "/projects/00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True)
class View:
    """A page of the dashboard. shows: CSS selectors of the complete page."""

    path: str
    shows: tuple[str, ...]

    def open(self, browser: Browser, origin: str) -> None:
        browser.open(origin + self.path)
        for selector in self.shows:
            browser.text(selector)


_HEALTH = ("[data-testid=health-sum]", "[data-testid^=reached-]")
_PROBLEM = "[data-testid=problem]"


def views(project_id: str, role: str) -> Mapping[str, View]:
    """Every page for a role; project_id: of any existing project."""
    if not role:
        return {"no access": View("/", ("h1 + [role=alert] p",))}
    files = (
        "[data-testid=file-section] [data-testid=cache]",
        "[data-testid=no-queue], [data-testid=job-section] p",
    )
    audit = "[data-testid=audit]" if role == "admin" else _PROBLEM
    return {
        "projects": View("/", ("[data-testid=projects]", *_HEALTH)),
        "project": View(f"/projects/{project_id}", (*files, *_HEALTH)),
        "audit": View("/audit", (audit, *_HEALTH)),
        "no such project": View(NOWHERE, (_PROBLEM, *_HEALTH)),
        "no such page": View("/nothing/here", ("h1", *_HEALTH)),
    }


@contextlib.contextmanager
def signed_in(platform: Platform, person: Person) -> Iterator[Browser]:
    """A new browser in which the person has signed in and sees the first page."""
    with chromium(platform.ca_file) as browser:
        browser.open(platform.origin + "/oauth2/start?rd=/")
        browser.fill("#username", person.name)
        browser.fill("#password", person.password)
        browser.click("button[type=submit]")
        browser.text("#sign-out")
        yield browser


def violations(complaints: list[str]) -> list[str]:
    """The lines of a browser's console that report a violation of the content security policy."""
    return [line for line in complaints if any(word in line for word in CSP_WORDS)]
