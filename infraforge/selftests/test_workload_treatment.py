"""How the front door treats a request: every kind of answer has its own word."""

import pytest
import requests

from infraforge.workloads import treatment
from infraforge.workloads.visitor import Answer, NoAnswer


def answer(
    status: int, location: str = "", kind: str = "text/html", url: str = "https://x/projects?tab=1"
) -> requests.Response:
    made = requests.Response()
    made.status_code = status
    made.headers["Content-Type"] = kind
    if location:
        made.headers["Location"] = location
    made.request = requests.Request("GET", url).prepare()
    return made


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer(200), "content"),
        (answer(204), "content"),
        (answer(302, "/oauth2/start?rd=/projects?tab=1"), "sent to login"),
        (answer(302, "/oauth2/start?rd=%2Fprojects%3Ftab%3D1"), "sent to login"),
        (answer(302, "/oauth2/start?rd=/"), "sent to login, then to '/'"),
        (answer(302, "/elsewhere"), "302 /elsewhere"),
        (answer(401), "401"),
        (answer(500), "500"),
    ],
)
def test_pages(given: requests.Response, told: str) -> None:
    assert treatment.of_page(given) == told


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (answer(200, kind="application/json"), "content"),
        (answer(401, kind="application/problem+json"), "401 problem"),
        (answer(401, kind="application/problem+json; charset=utf-8"), "401 problem"),
        (answer(401), "401"),
        (answer(302, "/oauth2/start?rd=/"), "302 /oauth2/start?rd=/"),
    ],
)
def test_api(given: requests.Response, told: str) -> None:
    assert treatment.of_api(given) == told


def test_callbacks() -> None:
    signed_in = answer(302, "/")
    signed_in.cookies.set("__Host-infraforge_session", "x")
    assert treatment.of_callback(signed_in) == "signed in"
    assert {treatment.of_callback(answer(status)) for status in (400, 403, 500)} == {"refused"}
    assert treatment.of_callback(answer(302, "/")) == "302 /"
    assert treatment.of_callback(answer(200)) == "content"


def test_hidden_things() -> None:
    assert treatment.of_hidden(Answer(206, (), b"x")) == "content"
    assert treatment.of_hidden(answer(404)) == "no content"
    with pytest.raises(NoAnswer, match="500"):
        treatment.of_hidden(answer(500))


def test_a_question_without_answer_is_unknown() -> None:
    def nothing() -> requests.Response:
        raise NoAnswer("the rate limit was met")

    cells = treatment.observe("nobody", {"a": nothing, "b": lambda: answer(200)}, treatment.of_page)
    assert cells == {("nobody", "a"): None, ("nobody", "b"): "content"}
