"""Jobs in the dashboard: developers request them, and viewers see the results."""

from __future__ import annotations

import hashlib

from selenium.common.exceptions import StaleElementReferenceException

from infraforge.verdict import control
from infraforge.wait import seconds, wait_until
from infraforge.workloads import axe, dashboard

WITHIN = seconds(30)
FORM = "[data-testid=job-form]"
JOBS = "[data-testid=jobs] tbody"
KIND, STATE, RESULT = f"{JOBS} th", f"{JOBS} td:nth-of-type(2)", f"{JOBS} td:nth-of-type(3)"


def test_the_dashboard_requests_jobs_and_shows_their_results(
    platform, people, developer, project, evidence
):
    """A developer's jobs and results appear without a reload; viewers see them but no form."""
    data = b"what the worker reads" * 1000
    developer.put_file(project.id, "plan.txt", data)
    page = f"{platform.origin}/projects/{project.id}"
    with dashboard.signed_in(platform, people.known("devon")) as browser:
        browser.open(page)
        browser.text(f"{FORM} select")
        browser.tab_to(f"{FORM} select")
        browser.press("p")
        browser.click(f"{FORM} [type=submit]")
        browser.text(f"{JOBS} tr")
        browser.click("[data-testid=report]")
        wait_until(
            lambda: browser.shows(STATE) == ["done", "done"],
            within=WITHIN,
            ignoring=(StaleElementReferenceException,),  # a row was just redrawn
            what="the dashboard shows both jobs done",
            broken=True,
        )
        mine, looked = told(browser), axe.examine(browser)
        against = dashboard.violations(browser.complaints())
        evidence.attach(developer=browser.screenshot(), axe=str(looked))
    with dashboard.signed_in(platform, people.known("vera")) as browser:
        browser.open(page)
        browser.text(f"{JOBS} tr")
        theirs, offered = told(browser), browser.shows(FORM)
        evidence.attach(viewer=browser.screenshot())
    assert (
        mine
        == theirs
        == {
            "checksum": {f"sha256 {hashlib.sha256(data).hexdigest()}", f"size {len(data)}"},
            "report": {"files 1", f"bytes {len(data)}"},
        }
    )
    assert offered == []
    assert against == []
    assert not looked.violations, str(looked)
    control(not looked.unsure, f"axe is unsure about some elements: {looked}")


def told(browser):
    """The results that the page shows, by kind of job."""
    results = [set(words.split(", ")) for words in browser.shows(RESULT)]
    return dict(zip(browser.shows(KIND), results, strict=True))
