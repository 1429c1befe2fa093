"""Take the pictures in docs/pictures.md from a platform that is up, and from its latest report.

    infraforge up --profile standard
    pytest suites --profile standard -n 3 && infraforge report
    python docs/pictures/take.py                    # --name PLATFORM, --report FOLDER

It signs in with the project's own browser workload, as `ada` (admin), makes a project with a file,
photographs each page, and removes the project. No picture is written of a page that holds a
password: each page's text and the values of its fields are searched for all passwords that the
platform gave its users, and fields for passwords are emptied before the picture is taken.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

from infraforge import entry, stack
from infraforge.cluster import state
from infraforge.components.vault_identity import Identities
from infraforge.errors import InfraForgeError, UsageError
from infraforge.report import build
from infraforge.stack import Platform
from infraforge.workloads import dashboard
from infraforge.workloads.backend_client import BackendClient
from infraforge.workloads.browser import chromium
from infraforge.workloads.front_door import FrontDoor
from infraforge.workloads.people import People

HERE = Path(__file__).parent
WHO = "ada"
PAGES = ("projects", "project", "audit", "no such page")
"""Pages of the dashboard that are photographed, by their names in `dashboard.views`."""

_EMPTY_PASSWORDS = """
for (const field of document.querySelectorAll('input[type=password]')) field.value = '';
window.scrollTo(0, 0);
"""
_ALL_TEXT = """
const fields = [...document.querySelectorAll('input, textarea')].map((field) => field.value);
return [document.documentElement.innerText, ...fields].join('\\n');
"""


class Page(Protocol):
    """What is needed of a browser's window."""

    def script(self, source: str) -> object: ...

    def screenshot(self) -> bytes: ...


class ShowsAPassword(InfraForgeError):
    """A page holds a password of a user; says which picture, and never the password."""


def masked(page: Page, name: str, passwords: Collection[str]) -> bytes:
    """Photograph the page as PNG, once its password fields are empty.

    Raises ShowsAPassword if a password stands anywhere on it, and UsageError if none is known: then
    nothing could be looked for.
    """
    if not passwords or not all(passwords):
        raise UsageError(
            "no passwords are known to look for; is the platform up? infraforge status"
        )
    page.script(_EMPTY_PASSWORDS)
    text = str(page.script(_ALL_TEXT))
    if any(password in text for password in passwords):
        raise ShowsAPassword(f"picture {name!r} would show a password; it is not written")
    return page.screenshot()


def pictures(platform: Platform, report: Path) -> Mapping[str, bytes]:
    """Name → PNG of every page. report: the folder with Allure's page and the controls."""
    people = People(platform.site)
    users = Identities.load(platform.site.tree).users
    passwords = [people.known(user.name).password for user in users]
    door = FrontDoor(platform.origin, platform.ca_file, platform.profile.ports.http)
    person = people.known(WHO)
    backend = BackendClient(door.sign_in(person.name, person.password), platform.origin)
    project = backend.create_project("Website", "What the pictures in the documentation show.")
    taken: dict[str, bytes] = {}
    try:
        backend.put_file(project.id, "plan.txt", b"what a file says")
        with chromium(platform.ca_file) as page:
            page.open(platform.origin + "/oauth2/start?rd=/")
            page.text("button[type=submit]")
            taken["sign-in"] = masked(page, "sign-in", passwords)
        with dashboard.signed_in(platform, person) as page:
            views = dashboard.views(project.id, "admin")
            for name in PAGES:
                views[name].open(page, platform.origin)
                file = f"dashboard-{name.replace(' ', '-')}"
                taken[file] = masked(page, file, passwords)
            page.prefer("dark")
            views["projects"].open(page, platform.origin)
            taken["dashboard-dark"] = masked(page, "dashboard-dark", passwords)
    finally:
        backend.delete_project(project.id)
    with chromium(platform.ca_file) as page:
        for file, selector in (("index", "#app"), ("controls", "table")):
            page.open((report / f"{file}.html").resolve().as_uri())
            page.text(selector, within=60.0)
            taken[f"report-{file}"] = masked(page, f"report-{file}", passwords)
    return taken


def main() -> int:
    """Write all pictures, or none."""
    parser = argparse.ArgumentParser(description="take the pictures of docs/pictures.md")
    parser.add_argument("--name", default=stack.DEFAULT_NAME, help="platform (%(default)s)")
    parser.add_argument(
        "--report", type=Path, default=build.REPORT, help="folder of the report (%(default)s)"
    )
    options = parser.parse_args()
    missing = [name for name in ("index", "controls") if not _page(options.report, name).is_file()]
    if missing:
        raise UsageError(f"{_page(options.report, missing[0])} is missing; run: infraforge report")
    taken = pictures(stack.attach(options.name), options.report)
    for name, png in taken.items():
        (HERE / f"{name}.png").write_bytes(png)
        print(HERE / f"{name}.png")
    return 0


def _page(report: Path, name: str) -> Path:
    return report / f"{name}.html"


if __name__ == "__main__":
    sys.exit(entry.guard("take.py", main, lambda: state.state_dir() / "traces"))
