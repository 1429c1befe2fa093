"""Transfer slots: each is returned exactly once, whatever happens to the answer."""

from __future__ import annotations

import importlib
import socket
from collections.abc import Iterator

import flask
import pytest

from infraforge.selftests import apps  # noqa: F401

transfers = importlib.import_module("infraforge_backend.transfers")
problems = importlib.import_module("infraforge_shared.problems")


def pieces() -> Iterator[bytes]:
    yield b"a"
    yield b"b"


def test_slots_bound_the_transfers_and_each_is_returned_once() -> None:
    places = transfers.Places("downloads", 2)
    first, _ = places.take(), places.take()
    with pytest.raises(problems.Problem) as caught:
        places.take()
    assert caught.value.status == 503
    first()
    first()  # it is nobody else's place that is given back
    places.take()
    with pytest.raises(problems.Problem):
        places.take()


@pytest.mark.parametrize("read", [0, 1, 2])
def test_an_answer_returns_its_slot_however_much_was_read(read: int) -> None:
    places = transfers.Places("downloads", 1)
    sending = transfers.Sending(pieces(), places.take())
    body = iter(sending)
    for _ in range(read):
        next(body)
    sending.close()
    places.take()


def test_an_answer_that_fails_to_close_returns_its_slot() -> None:
    class Broken:
        def __iter__(self) -> Iterator[bytes]:
            return iter(())

        def close(self) -> None:
            raise OSError("gone")

    places = transfers.Places("downloads", 1)
    with pytest.raises(OSError, match="gone"):
        transfers.Sending(Broken(), places.take()).close()
    places.take()


def test_a_head_request_takes_no_slot() -> None:
    places = transfers.Places("downloads", 1)
    app = flask.Flask("x")

    @app.get("/")
    def download() -> flask.Response:
        return flask.Response(transfers.Sending(pieces(), places.take()))

    client = app.test_client()
    for _ in range(3):
        assert client.head("/", buffered=True).status_code == 200
        assert client.get("/", buffered=True).data == b"ab"


def test_every_answer_must_be_read_in_time_and_no_body_is_bounded_by_it() -> None:
    app, seen = flask.Flask("x"), []
    transfers.install(app)
    link, other = socket.socketpair()
    with link, other:

        @app.put("/")
        def upload() -> str:
            seen.append(link.gettimeout())
            return "ok"

        link.settimeout(3.0)
        app.test_client().put("/", environ_base={"gunicorn.socket": link})
        assert seen == [None]
        assert link.gettimeout() == transfers.PIECE_SECONDS


def test_the_backend_does_not_wait_for_a_dropped_reader() -> None:
    serving = importlib.import_module("infraforge_shared.serving")
    link, other = socket.socketpair()
    with link, other:

        def given_up(error: Exception) -> None:
            try:
                raise error
            finally:  # as gunicorn calls it
                serving.post_request(None, None, {"gunicorn.socket": link}, None)

        with pytest.raises(ConnectionError):
            given_up(ConnectionError())
        other.settimeout(0.05)
        with pytest.raises(TimeoutError):
            other.recv(1)  # still open: gunicorn's own to close
        with pytest.raises(TimeoutError):
            given_up(TimeoutError())
        assert other.recv(1) == b""
        serving.post_request(None, None, {}, None)
