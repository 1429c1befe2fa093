"""Runs in the impostor's pod, which has only Python's standard library.

It speaks PostgreSQL's protocol up to the first message inside TLS (documentation of PostgreSQL 17,
53.2.10 "SSL Session Encryption" and 53.7 "Message Formats"), and prints one JSON object a line:
{"heard": "nothing"} for a client that ended the handshake or hung up, {"heard": "a startup
message", "user": …} for one that went on and named its user.

argv: the port, and the folder of tls.crt and tls.key.
"""

import json
import socket
import ssl
import struct
import sys
import threading

SSL_REQUEST = 80877103
PATIENCE = 5.0


def exactly(connection: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes; OSError where the client closes before."""
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise ConnectionResetError("hung up")
        data += more
    return data


def message(connection: socket.socket) -> bytes:
    """A message without a type byte: its length comes first."""
    (length,) = struct.unpack("!I", exactly(connection, 4))
    if not 8 <= length <= 10_000:
        raise ConnectionResetError("no message of this protocol")
    return exactly(connection, length - 4)


def hear(connection: socket.socket, trust: ssl.SSLContext) -> dict[str, str] | None:
    """What one client said; None for one that never asked for TLS (a probe, a port scan)."""
    connection.settimeout(PATIENCE)
    try:
        if struct.unpack("!I", message(connection)[:4]) != (SSL_REQUEST,):
            return {"heard": "a startup message", "user": "without TLS"}
        connection.sendall(b"S")
    except OSError:
        return None
    try:
        with trust.wrap_socket(connection, server_side=True) as safe:
            words = message(safe)[4:].split(b"\0")
    except (OSError, ssl.SSLError) as error:
        return {"heard": "nothing", "why": str(error)[:200]}
    said = dict(zip(words[::2], words[1::2], strict=False))
    return {"heard": "a startup message", "user": said.get(b"user", b"").decode("utf-8", "replace")}


def answer(connection: socket.socket, trust: ssl.SSLContext) -> None:
    with connection:
        heard = hear(connection, trust)
    if heard is not None:
        sys.stdout.write(json.dumps(heard) + "\n")  # in one call: threads share the output
        sys.stdout.flush()


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{sys.argv[2]}/tls.crt", f"{sys.argv[2]}/tls.key")
    with socket.create_server(("0.0.0.0", int(sys.argv[1]))) as server:  # noqa: S104  its pod's
        while True:
            caller, _ = server.accept()
            threading.Thread(target=answer, args=(caller, context), daemon=True).start()
