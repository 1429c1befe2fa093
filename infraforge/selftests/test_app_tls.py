"""An OpenSSL error left in a thread by one connection does not break a healthy one."""

from __future__ import annotations

import contextlib
import errno
import importlib
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infraforge.cluster.pki import Authority
from infraforge.selftests import apps  # noqa: F401

tls = importlib.import_module("infraforge_shared.tls")

_SYSTEM = 2  # OpenSSL's ERR_LIB_SYS


def leave_an_error() -> None:
    """What a write to a connection that is gone leaves in the queue of this thread."""
    tls._LIBRARY.ERR_new()
    tls._LIBRARY.ERR_set_error(_SYSTEM, errno.EPIPE, None)


@pytest.fixture
def contexts(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's."""
    authority = Authority.load_or_create(tmp_path / "ca")
    pair = authority.issue(["localhost"])
    (tmp_path / "crt").write_text(pair.cert_pem)
    (tmp_path / "key").write_text(pair.key_pem)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "crt", tmp_path / "key")
    return server, ssl.create_default_context(cafile=str(authority.ca_file))


@pytest.fixture
def go() -> threading.Event:
    """What the server waits for before it answers."""
    return threading.Event()


@pytest.fixture
def link(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext], go: threading.Event
) -> Iterator[ssl.SSLSocket]:
    """A client's connection to a server that sends back what it is sent, once it may."""
    server, client = contexts
    ours, theirs = socket.socketpair()

    def answer() -> None:
        with (
            contextlib.suppress(OSError),
            server.wrap_socket(theirs, server_side=True) as secure,
        ):
            while data := secure.recv(100):
                go.wait(5)
                secure.sendall(data)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    client.sslsocket_class = tls.Socket
    ours.settimeout(5)
    with client.wrap_socket(ours, server_hostname="localhost") as secure:
        go.set()
        secure.sendall(b"hello")  # what comes of a handshake is read, too: that empties the queue
        assert secure.recv(100) == b"hello"
        go.clear()
        yield secure
        go.set()
    thread.join(5)


def test_a_read_that_waits_is_not_broken_by_a_former_error(
    link: ssl.SSLSocket, go: threading.Event
) -> None:
    link.sendall(b"who is it?")
    leave_an_error()
    threading.Timer(0.3, go.set).start()
    assert link.recv(100) == b"who is it?"


def test_a_write_that_waits_is_not_broken_by_a_former_error(
    link: ssl.SSLSocket, go: threading.Event
) -> None:
    go.set()
    for _ in range(3):
        leave_an_error()
        link.sendall(b"who is it?")
        assert link.recv(100) == b"who is it?"


def test_an_object_without_a_socket_is_not_broken_by_a_former_error(
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    _server, client = contexts
    client.sslobject_class = tls.Object
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    made = client.wrap_bio(incoming, outgoing, server_hostname="localhost")
    leave_an_error()
    with pytest.raises(ssl.SSLWantReadError):  # and nothing worse
        made.do_handshake()


def test_a_plain_socket_is_broken_by_a_former_error(link: ssl.SSLSocket) -> None:
    """The control: without the queue emptied, the very same read is broken."""
    link.sendall(b"who is it?")
    leave_an_error()
    with pytest.raises(OSError):  # noqa: PT011  an SSLError or a BrokenPipeError
        ssl.SSLSocket.read(link, 100)


def test_all_contexts_make_such_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sslsocket_class", "sslobject_class"):
        monkeypatch.setattr(ssl.SSLContext, name, getattr(ssl.SSLContext, name))
    tls.install()
    ours, _theirs = socket.socketpair()
    with ssl.create_default_context().wrap_socket(
        ours, server_hostname="localhost", do_handshake_on_connect=False
    ) as made:
        assert isinstance(made, tls.Socket)
