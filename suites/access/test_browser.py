"""Sign-in from end to end in a real browser."""

import allure
import pytest

from infraforge.workloads.browser import chromium
from infraforge.workloads.front_door import SESSION_COOKIE

pytestmark = [
    allure.severity(allure.severity_level.CRITICAL),
    pytest.mark.control("SOC2-CC6.1", "ISO27001-A.8.5", "NIST-IA-2"),
]


def test_a_person_signs_in_with_a_browser(platform, people, evidence):
    """Chromium is redirected to the login page and, after sign-in, reaches the dashboard."""
    person = people.known("devon")
    with chromium(platform.ca_file) as browser:
        browser.open(platform.origin + "/")
        assert browser.url.startswith(platform.origin + "/login/")
        evidence.attach(login=browser.screenshot())
        browser.fill("#username", person.name)
        browser.fill("#password", person.password)
        browser.click("button[type=submit]")
        shown = browser.text("#me-user"), browser.text("#me-role")
        evidence.attach(dashboard=browser.screenshot())
        seen_by_scripts = SESSION_COOKIE in str(browser.script("return document.cookie"))
        assert shown == (person.name, "developer")
        assert browser.url.startswith(platform.origin + "/")
        assert not seen_by_scripts
        assert browser.cookies()[SESSION_COOKIE]["httpOnly"] is True


def test_a_denied_sign_in_is_explained_in_words(platform, people):
    """After a wrong password the login page stays open and says what was wrong."""
    person = people.make("viewer")
    with chromium(platform.ca_file) as browser:
        browser.open(platform.origin + "/")
        assert browser.url.startswith(platform.origin + "/login/")
        browser.fill("#username", person.name)
        browser.fill("#password", "not this one")
        browser.click("button[type=submit]")
        assert "do not match" in browser.text("#message")
        assert browser.url.startswith(platform.origin + "/login/")
