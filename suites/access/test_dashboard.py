"""The dashboard shows the current state and offers each role what it may do."""

import allure
import pytest

from infraforge import faults
from infraforge.judging import judge
from infraforge.verdict import control
from infraforge.wait import wait_until
from infraforge.workloads import dashboard
from infraforge.workloads.backend_client import Refused, Unknown
from infraforge.workloads.platform_client import PlatformClient

pytestmark = allure.severity(allure.severity_level.NORMAL)

ROLES = {"admin": "ada", "developer": "devon", "viewer": "vera"}
SCALED = "login"
LOOKED_AT = 5  # seconds between two polls of the components' health by the dashboard
NOTICED = 3 * LOOKED_AT

# (page, element) -> its CSS selector, and the roles that see it
OFFERED = {
    ("projects", "who am I"): ("#me-user", ROLES),
    ("projects", "sign out"): ("#sign-out", ROLES),
    ("projects", "components"): ("[data-testid^=component-]", ROLES),
    ("projects", "a new project"): ("[data-testid=new-project]", ("admin", "developer")),
    ("projects", "the link to the audit trail"): ("a[href='/audit']", ("admin",)),
    ("project", "a file that cannot be downloaded"): (
        "[data-testid=files] tbody tr:not(:has(a[download]))",
        (),
    ),
    ("project", "how it was read"): ("[data-testid=cache]", ROLES),
    ("project", "rename"): ("[data-testid=edit]", ("admin", "developer")),
    ("project", "delete"): ("[data-testid=delete]", ("admin", "developer")),
    ("project", "upload"): ("[data-testid=upload]", ("admin", "developer")),
    ("audit", "who changed what"): ("[data-testid=audit] tbody tr", ("admin",)),
}


@pytest.mark.control("SOC2-CC6.3", "NIST-AC-6")
def test_each_role_is_offered_what_it_may_do(platform, people, developer, project, evidence):
    """Viewers see no control that changes anything, and only admins see the audit trail."""
    developer.put_file(project.id, "plan.txt", b"what a file says")
    cells, declared = {}, {}
    for role, known in ROLES.items():
        with dashboard.signed_in(platform, people.known(known)) as browser:
            pages, here = dashboard.views(project.id, role), ""
            for (page, name), (selector, who) in OFFERED.items():
                if page != here:
                    here = page
                    pages[page].open(browser, platform.origin)
                    evidence.attach(**{f"{role}: {page}": browser.screenshot()})
                cells[role, name] = "there" if browser.shows(selector) else "not there"
                declared[role, name] = "there" if role in who else "not there"
            cells[role, "shown as"] = " ".join(
                browser.shows("#me-user") + browser.shows("#me-role")
            )
            declared[role, "shown as"] = f"{known} {role}"
    judge(cells, declared, evidence)


def test_the_dashboard_shows_how_the_cache_answered_each_read(platform, people, project, evidence):
    """Beside each list or project the dashboard shows the X-Cache value of its response."""
    cells, declared = {}, {}
    with dashboard.signed_in(platform, people.known("vera")) as browser:
        browser.text("[data-testid=cache]")
        declared["list", "read 1"] = how(browser, "/api/projects?limit=20")
        cells["list", "read 1"] = shown(browser, declared["list", "read 1"], "h1 + p")
        browser.open(f"{platform.origin}/projects/{project.id}")
        for read in ("read 1", "read 2", "read 3"):
            if read != "read 1":
                browser.click("[data-testid=reload]")
            declared["project", read] = how(browser, f"/api/projects/{project.id}")
            cells["project", read] = shown(browser, declared["project", read], "h1 ~ p.facts")
            evidence.attach(**{read: browser.screenshot()})
    assert set(declared.values()) <= {"cache: hit", "cache: miss", "cache: bypass"}
    judge(cells, declared, evidence)


def test_errors_are_explained_in_words(platform, people, developer, project, evidence):
    """For every kind of error the page says what went wrong and what to do about it."""
    said = {}
    with dashboard.signed_in(platform, people.make()) as browser:
        said["no role"] = problem(browser, evidence, "no role", "[data-testid=no-access]")
    with dashboard.signed_in(platform, people.known("devon")) as browser:
        browser.open(f"{platform.origin}/projects/{project.id}")
        browser.click("[data-testid=edit]")
        developer.update_project(project.id, "changed by somebody else")
        browser.click("[data-testid=project-form] [type=submit]")
        said["a conflict"] = problem(browser, evidence, "a conflict")
    with dashboard.signed_in(platform, people.known("vera")) as browser:
        browser.open(platform.origin + dashboard.NOWHERE)
        said["no such project"] = problem(browser, evidence, "no such project")
        browser.open(platform.origin + "/audit")
        said["not for this role"] = problem(browser, evidence, "not for this role")
        browser.open(platform.origin + "/nothing/here")
        said["no such page"] = problem(browser, evidence, "no such page", "[data-testid=nowhere]")
        browser.open(f"{platform.origin}/projects/{project.id}")
        browser.text("[data-testid=cache]")
        with browser.offline():
            browser.click("[data-testid=reload]")
            said["no network"] = problem(browser, evidence, "no network", "article > [role=alert]")
        browser.forget()
        browser.click("[data-testid=reload]")
        said["session over"] = problem(
            browser, evidence, "session over", "[data-testid=session-ended]"
        )
    cells = {
        (name, "words"): "told" if words in said[name] else said[name]
        for name, words in {
            "no role": "Ask an admin of the platform for a role",
            "a conflict": "Somebody else has changed this project meanwhile",
            "no such project": "There is no such project.",
            "not for this role": "Your role (viewer) does not allow this.",
            "no such page": "There is nothing here",
            "no network": "Check your connection and try again.",
            "session over": "Your session has ended. Sign in again",
        }.items()
    }
    judge(cells, dict.fromkeys(cells, "told"), evidence)


def test_without_a_queue_the_dashboard_says_so(platform, people, project, evidence):
    """The dashboard offers jobs if the platform has a queue, and otherwise says it has none."""
    queue = "nats" in platform.profile.components
    with dashboard.signed_in(platform, people.known("devon")) as browser:
        browser.open(f"{platform.origin}/projects/{project.id}")
        browser.text("[data-testid=no-queue], [data-testid=job-form]")
        said, form = (
            browser.shows("[data-testid=no-queue]"),
            browser.shows("[data-testid=job-form]"),
        )
        evidence.attach(page=browser.screenshot())
    assert bool(form) is queue
    assert ["without a queue" in words for words in said] == ([] if queue else [True])


@pytest.mark.exclusive
def test_an_open_dashboard_follows_a_component_as_it_scales(
    platform, front_door, people, nemesis, evidence
):
    """An open page follows a component as it scales up and down, without a reload."""
    nemesis.owe(faults.Rescale.of(platform.site, SCALED), f"scale {SCALED}")
    person = people.make("admin")
    user = PlatformClient(front_door.sign_in(person.name, person.password), platform.origin)
    with dashboard.signed_in(platform, people.known("vera")) as browser:
        before = tile(browser)
        browser.script("window.unmoved = true")
        try:
            user.scale(SCALED, 2)
            becomes(browser, user, 2, evidence)
        finally:
            user.scale(SCALED, 1)
            becomes(browser, user, 1, evidence)
        news = browser.script(
            "return document.querySelector('[data-testid=health-news]').textContent"
        )
        evidence.attach(news=str(news))
        control(before == "healthy 1 of 1 ready", f"before the test {SCALED} was {before}")
        assert browser.script("return window.unmoved") is True
        assert news == f"{SCALED} is healthy, 1 of 1 ready."


def becomes(browser, user, replicas, evidence):
    """Wait until the platform API reports so many replicas, and then until the dashboard does."""
    wanted = f"healthy {replicas} of {replicas} ready"
    wait_until(
        lambda: (
            (component := user.component(SCALED)).status == "healthy"
            and component.ready == replicas
        ),
        within=180,
        what=f"{SCALED} is healthy with {replicas} replicas",
        ignoring=(Unknown, Refused),
    )
    wait_until(
        lambda: tile(browser) == wanted,
        within=NOTICED,
        what=f"the dashboard shows {SCALED} as {wanted}",
        broken=True,
    )
    evidence.attach(**{wanted: browser.screenshot()})


def tile(browser):
    place = f"[data-testid=component-{SCALED}]"
    browser.text(place)
    return " ".join(
        browser.shows(f"{place} [data-testid=status]")
        + browser.shows(f"{place} [data-testid=replicas]")
    )


def how(browser, path):
    """What the dashboard must show for the browser's latest response from this path."""
    answers = wait_until(
        lambda: [one for one in browser.received() if one.url.endswith(path)],
        within=15,
        what=f"the browser has a response from {path}",
    )
    return f"cache: {answers[-1].headers.get('x-cache')}"


def shown(browser, wanted, place):
    """Wait until the place shows `wanted`, and return it."""
    selector = f"{place} [data-testid=cache]"
    wait_until(
        lambda: browser.shows(selector) == [wanted],
        within=10,
        what=f"the dashboard shows {wanted}",
        broken=True,
    )
    return wanted


def problem(browser, evidence, name, place="[data-testid=problem]"):
    said = browser.text(place)
    evidence.attach(**{name: browser.screenshot(), f"said: {name}": said})
    return said
