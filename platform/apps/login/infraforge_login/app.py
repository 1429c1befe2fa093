"""The login page: GET shows the form, POST checks it. Every denial looks the same."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

import flask
import werkzeug.exceptions

from infraforge_login import form, guesses, names
from infraforge_login.authorization import Authorization, Refused
from infraforge_login.config import Config
from infraforge_login.vault import Denied, Unavailable, Vault

log = logging.getLogger(__name__)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; "
        "base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_DENIED = "That user name and password do not match. Check both and try again."
_STALE = "This form was open for too long, or opened in another browser. Please try again."
_SLOW_DOWN = (
    "Too many wrong passwords were entered for this name from here. "
    "Please wait {seconds} seconds, then try again."
)
_UNAVAILABLE = "Signing in is not possible right now. Please try again in a moment."
_BODY_LIMIT = 16 * 1024
_STEP = 0.5
"""Denials come after a multiple of this many seconds. Otherwise the time that Vault and a directory
need for a denial would show whether the name exists."""


def create(
    config: Config,
    vault: Vault | None = None,
    seal: form.Seal | None = None,
    counts: guesses.Guesses | None = None,
    pause: Callable[[float], None] = time.sleep,
) -> flask.Flask:
    """Create the application; parts that are not given are made from `config`."""
    app = flask.Flask(__name__, static_url_path="/login/static")
    app.config["MAX_CONTENT_LENGTH"] = _BODY_LIMIT
    seal, counts = seal or form.Seal(config.key), counts or guesses.Guesses()
    page = _Page(config, vault or Vault(config), seal, counts, pause)
    app.add_url_rule("/login/authorize", view_func=page.show, methods=["GET"])
    app.add_url_rule("/login/authorize", view_func=page.answer, methods=["POST"])
    app.add_url_rule("/healthz", view_func=_alive)
    app.add_url_rule("/readyz", view_func=_ready)
    app.after_request(_guard)
    app.register_error_handler(Refused, _refuse)
    app.register_error_handler(werkzeug.exceptions.HTTPException, _explain)
    return app


class _Page:
    def __init__(
        self,
        config: Config,
        vault: Vault,
        seal: form.Seal,
        counts: guesses.Guesses,
        pause: Callable[[float], None],
    ) -> None:
        self._config = config
        self._vault = vault
        self._seal = seal
        self._counts = counts
        self._pause = pause
        self._known = guesses.Known(config.key)
        self._names = names.of(config.auth_path)

    def show(self) -> flask.Response:
        return self._form(self._request(), 200)

    def answer(self) -> flask.Response:
        request = self._request()
        sent = flask.request.form
        if not self._seal.holds(
            sent.get("form", ""), flask.request.cookies.get(form.COOKIE), request.query
        ):
            log.warning("refused", extra={"reason": "form"})
            return self._form(request, 403, _STALE)
        name = sent.get("username", "").strip()
        browser = self._known.place(flask.request.cookies.get(guesses.COOKIE), name)
        place = browser or f"address {flask.request.headers.get('X-Real-IP', '')}"
        if left := math.ceil(self._counts.attempt(name, place, known=browser is not None)):
            log.info("slowed down", extra={"seconds": left})
            response = self._form(request, 429, _SLOW_DOWN.format(seconds=left))
            response.headers["Retry-After"] = str(left)
            return response
        began = time.monotonic()
        try:
            code, state = self._vault.code(name, sent.get("password", ""), request.query)
        except names.NoName:
            return self._form(request, 401, self._names.told)
        except Denied:
            self._pause(rest_of_step(time.monotonic() - began))
            # log no name: people type passwords into the wrong field; Vault's audit log hashes it
            log.info("denied")
            return self._form(request, 401, _DENIED)
        except Unavailable as error:
            self._counts.void(name, place)
            log.error("unavailable", extra={"reason": str(error)})  # noqa: TRY400
            response = self._form(request, 503, _UNAVAILABLE)
            response.headers["Retry-After"] = "5"
            return response
        self._counts.right(name, place)
        log.info("signed in", extra={"user": names.same(name)})
        response = flask.make_response(flask.redirect(request.answer(code, state), 303))
        _set_cookie(response, guesses.COOKIE, self._known.make(name), guesses.KNOWN_FOR)
        return response

    def _request(self) -> Authorization:
        sent = flask.request.args.to_dict(flat=False)
        return Authorization.parse(sent, self._config.client_id, self._config.redirect_uri)

    def _form(self, request: Authorization, status: int, message: str = "") -> flask.Response:
        cookie = flask.request.cookies.get(form.COOKIE, "")
        if not form.well_formed(cookie):
            cookie = form.new_cookie()
        html = flask.render_template(
            "login.html",
            action=f"/login/authorize?{request.query}",
            form=self._seal.make(cookie, request.query),
            message=message,
        )
        response = flask.make_response(html, status)
        _set_cookie(response, form.COOKIE, cookie)
        return response


def _set_cookie(
    response: flask.Response, name: str, value: str, max_age: int | None = None
) -> None:
    response.set_cookie(
        name, value, max_age, path="/login", secure=True, httponly=True, samesite="Lax"
    )


def rest_of_step(seconds: float) -> float:
    """Seconds that a denial must still wait if it took this many."""
    return -seconds % _STEP


def _alive() -> flask.Response:
    """The process serves. If Vault is away, the page stays up to say so."""
    return flask.Response("ok\n", mimetype="text/plain")


def _ready() -> flask.Response:
    """The page renders from its templates."""
    flask.render_template("login.html", action="", form="", message="")
    return flask.Response("ok\n", mimetype="text/plain")


def _guard(response: flask.Response) -> flask.Response:
    for name, value in _HEADERS.items():
        response.headers[name] = value
    return response


def _refuse(error: Refused) -> tuple[str, int]:
    log.warning("refused", extra={"reason": str(error)})
    return _message("This sign-in request is not valid", f"It was refused because {error}."), 400


def _explain(error: werkzeug.exceptions.HTTPException) -> tuple[str, int]:
    return _message(error.name, error.description or ""), error.code or 500


def _message(title: str, text: str) -> str:
    return flask.render_template("message.html", title=title, text=text)
