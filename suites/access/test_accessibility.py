"""The dashboard is accessible: axe-core finds no violation, and a keyboard is enough to use it."""

import secrets

import allure
import pytest
from selenium.webdriver.common.keys import Keys

from infraforge import judging
from infraforge.verdict import control
from infraforge.wait import wait_until
from infraforge.workloads import axe, dashboard
from infraforge.workloads.backend_client import Refused
from infraforge.workloads.browser import chromium
from infraforge.workloads.front_door import SESSION_COOKIE

pytestmark = allure.severity(allure.severity_level.NORMAL)

ROLES = {"admin": "ada", "developer": "devon", "viewer": "vera", "in no group": None}
SCHEMES = ("light", "dark")
NARROW = 320  # CSS pixels: WCAG 1.4.10
SPOIL = """
const image = document.createElement('img')
image.src = '/icon.svg'
const button = document.createElement('button')
const text = document.createElement('p')
text.textContent = 'hardly to be read'
text.setAttribute('class', 'spoilt')
document.querySelector('main').append(image, button, text)
text.style.color = '#777'
text.style.background = '#888'
"""
SPOILT = {"image-alt", "button-name", "color-contrast"}
STOPS = """
const able = 'a[href], button, input, select, textarea, summary, [tabindex="0"]'
return [...document.querySelectorAll(able)]
  .filter((item) => item.checkVisibility()).map((item, at) => {
    item.dataset.stop = at
    return item.outerHTML.slice(0, 100)
  })
"""
HERE = """
const item = document.activeElement, style = getComputedStyle(item)
const box = item.getBoundingClientRect()
return item === document.body ? null : {
  stop: Number(item.dataset.stop),
  told: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
  inside: box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth,
}
"""


@pytest.mark.parametrize("role", ROLES)
def test_axe_finds_no_violation_on_any_page(role, platform, people, developer, project, evidence):
    """Every page, light and dark, meets WCAG 2.2 A and AA and best practices, and its policy."""
    developer.put_file(project.id, "plan.txt", b"what a file says")
    person = people.known(ROLES[role]) if ROLES[role] else people.make()
    cells, said = {}, []
    with dashboard.signed_in(platform, person) as browser:
        for name, view in dashboard.views(project.id, person.role).items():
            for scheme in SCHEMES:
                browser.prefer(scheme)
                view.open(browser, platform.origin)
                said += browser.complaints()
                cells[name, scheme] = judged(browser, evidence, f"{role}: {name}, {scheme}")
        able_to_tell(browser)
    evidence.attach(console="\n".join(said) or "nothing")
    judge(cells, "no violation", evidence)
    assert not dashboard.violations(said)


def test_axe_finds_no_violation_in_open_forms_and_dialogs(
    platform, people, developer, project, evidence
):
    """Open forms, a confirmation and an error beside its cause meet WCAG 2.2 A and AA."""
    developer.put_file(project.id, "plan.txt", b"what a file says")
    cells = {}
    with dashboard.signed_in(platform, people.known("devon")) as browser:
        pages = dashboard.views(project.id, "developer")
        pages["projects"].open(browser, platform.origin)
        browser.click("[data-testid=new-project]")
        browser.text("[data-testid=project-form]")
        cells["a new project", "light"] = judged(browser, evidence, "a new project")
        pages["project"].open(browser, platform.origin)
        browser.click("[data-testid=file-section] [data-testid=delete]")
        cells["really?", "light"] = judged(browser, evidence, "really?")
        browser.click("[data-testid=edit]")
        developer.update_project(project.id, "changed by somebody else")
        browser.click("[data-testid=project-form] [type=submit]")
        browser.text("[data-testid=project-form] [data-testid=problem]")
        cells["a conflict", "light"] = judged(browser, evidence, "a conflict")
    judge(cells, "no violation", evidence)


def test_axe_finds_no_violation_at_the_login(platform, people, evidence):
    """The login page meets WCAG 2.2 A and AA, before and after a wrong password."""
    cells, stranger = {}, people.make("viewer")
    with chromium(platform.ca_file) as browser:
        for scheme in SCHEMES:
            browser.prefer(scheme)
            browser.open(platform.origin + "/oauth2/start?rd=/")
            browser.text("h1")
            cells["login", scheme] = judged(browser, evidence, f"login, {scheme}")
            browser.fill("#username", stranger.name)
            browser.fill("#password", "not this one")
            browser.click("button[type=submit]")
            browser.text("#message")
            cells["denied", scheme] = judged(browser, evidence, f"denied, {scheme}")
        able_to_tell(browser)
    judge(cells, "no violation", evidence)


def test_the_dashboard_fits_a_narrow_window(platform, people, developer, project, evidence):
    """In a window 320 pixels wide only tables scroll sideways."""
    developer.put_file(project.id, "a-name-" + "that-is-long-" * 12 + ".txt", b"what a file says")
    cells = {}
    with dashboard.signed_in(platform, people.known("ada")) as browser:
        browser.narrow(NARROW)
        for name, view in dashboard.views(project.id, "admin").items():
            view.open(browser, platform.origin)
            wide = browser.script("return document.documentElement.scrollWidth")
            cells[name, "width"] = "fits" if wide <= NARROW else f"{wide} pixels"
            evidence.attach(**{name: browser.screenshot()})
    judge(cells, "fits", evidence)


def test_tab_visits_every_control_in_order_with_visible_focus(
    platform, people, developer, project, evidence
):
    """Tab visits every control from top to bottom, leaves the page, and always shows the focus."""
    developer.put_file(project.id, "plan.txt", b"what a file says")
    with dashboard.signed_in(platform, people.known("devon")) as browser:
        dashboard.views(project.id, "developer")["project"].open(browser, platform.origin)
        stops = browser.script(STOPS)
        walked = []
        for _ in range(2 * len(stops)):
            browser.press(Keys.TAB)
            here = browser.script(HERE)
            if here is None:
                break
            walked.append(here)
        evidence.attach(stops="\n".join(stops), walked={"stops": walked})
    control(len(stops) > 10, f"the page has only {len(stops)} controls")
    assert [here["stop"] for here in walked] == list(range(len(stops))), stops
    assert [stops[here["stop"]] for here in walked if not here["told"]] == []
    assert [stops[here["stop"]] for here in walked if not here["inside"]] == []


def test_a_project_is_created_renamed_and_deleted_by_keyboard_alone(
    platform, people, developer, evidence
):
    """From the login page on, the focus moves to where the user continues after each step."""
    name = f"keys {secrets.token_hex(4)}"
    with chromium(platform.ca_file) as browser:
        sign_in(browser, platform, people.make("developer"))
        browser.tab_to("[data-testid=new-project]")
        browser.press(Keys.ENTER)
        focus(browser, "[name=name]")
        browser.press(name, Keys.TAB, "made without a mouse", Keys.TAB, Keys.SPACE)
        told(browser, f"Created {name}.")
        focus(browser, "h1")
        made = browser.url.rpartition("/")[2]
        assert names(developer)[name] == made

        go_to_project(browser, made)
        browser.tab_to("[data-testid=edit]")
        browser.press(Keys.SPACE)
        focus(browser, "[name=name]")
        browser.press(Keys.END, " and renamed", Keys.ENTER)
        told(browser, "Saved.")
        focus(browser, "[data-testid=edit]")
        assert names(developer)[f"{name} and renamed"] == made

        browser.tab_to("[data-testid=delete]")
        browser.press(Keys.ENTER)
        focus(browser, "[data-testid=delete-sure]")
        evidence.attach(asked_back=browser.screenshot())
        browser.press(Keys.ESCAPE)
        focus(browser, "[data-testid=delete]")
        assert made in names(developer).values()
        browser.press(Keys.ENTER)
        focus(browser, "[data-testid=delete-sure]")
        browser.press(Keys.ENTER)
        focus(browser, "h1")
        assert browser.url == platform.origin + "/"
        assert made not in names(developer).values()
        said = browser.complaints()
    assert not dashboard.violations(said)


def test_files_are_uploaded_and_deleted_by_keyboard_alone(
    platform, people, developer, project, evidence, tmp_path
):
    """The keyboard also suffices to find the project in the list, and to sign out at the end."""
    developer.put_file(project.id, "plan.txt", b"what a file says")
    upload = tmp_path / "note.txt"
    upload.write_bytes(b"chosen with keys")
    with chromium(platform.ca_file) as browser:
        sign_in(browser, platform, people.make("developer"))
        go_to_project(browser, project.id)
        browser.text("[data-testid=files]")
        browser.tab_to("[data-testid=upload]")
        browser.choose(upload, Keys.SPACE)
        told(browser, "Stored note.txt.")
        assert developer.get_file(project.id, "note.txt") == b"chosen with keys"
        browser.tab_to("[download='plan.txt']")
        browser.tab_to("[aria-label='Delete file plan.txt']")
        browser.press(Keys.ENTER)
        focus(browser, "[data-testid=delete-sure]")
        browser.press(Keys.ENTER)
        told(browser, "Deleted plan.txt.")
        focus(browser, "[data-testid=file-section]")
        with pytest.raises(Refused):
            developer.get_file(project.id, "plan.txt")
        evidence.attach(deleted=browser.screenshot())

        browser.tab_to("#sign-out")
        browser.press(Keys.ENTER)
        # the page shows either the login form or a notice that the session has ended
        browser.text("#username ~ button, [data-testid=session-ended]")
        evidence.attach(signed_out=browser.screenshot())
        said = browser.complaints()
        assert SESSION_COOKIE not in browser.cookies()
    assert not dashboard.violations(said)


def sign_in(browser, platform, person):
    browser.open(platform.origin + "/oauth2/start?rd=/")
    focus(browser, "#username")
    browser.press(person.name, Keys.TAB, person.password, Keys.ENTER)
    browser.text("#me-user")


def go_to_project(browser, project_id):
    """Open the list from the navigation, load pages until the project is listed, and open it."""
    browser.tab_to("nav a")
    browser.press(Keys.ENTER)
    link = f"a[href='/projects/{project_id}']"
    browser.text("[data-testid=projects]")
    for _ in range(20):
        if browser.shows(link):
            break
        browser.tab_to("[data-testid=projects] + button")
        before = len(browser.shows("[data-testid=projects] a"))
        browser.press(Keys.ENTER)
        wait_until(
            lambda before=before: len(browser.shows("[data-testid=projects] a")) > before,
            within=15,
            what="the list shows more projects",
        )
    browser.tab_to(link, most=500)
    browser.press(Keys.ENTER)
    browser.text("[data-testid=read]")
    focus(browser, "h1")


def focus(browser, selector):
    wait_until(
        lambda: browser.focused(selector), 15, what=f"the focus is on {selector}", broken=True
    )


def told(browser, words):
    wait_until(
        lambda: browser.shows("[data-testid=notice]") == [words],
        within=15,
        what=f"the dashboard says {words!r}",
        broken=True,
    )


def names(user):
    return {project.name: project.id for project in user.projects()}


def judged(browser, evidence, name):
    """axe's verdict on the page: `no violation`, the violated rules, or None if axe is unsure."""
    examination = axe.examine(browser)
    evidence.attach(**{name: browser.screenshot(), f"axe on {name}": str(examination)})
    if examination.violations:
        return str(examination)
    return None if examination.unsure else "no violation"


def able_to_tell(browser):
    """Control: axe finds the violations that this test plants on the same page."""
    browser.script(SPOIL)
    missed = SPOILT - axe.examine(browser).rules
    control(not missed, f"axe misses planted violations: {missed}")


def judge(observed, wanted, evidence):
    judging.judge(observed, dict.fromkeys(observed, wanted), evidence)
