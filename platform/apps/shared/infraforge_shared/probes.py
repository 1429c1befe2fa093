"""/healthz and /readyz over TLS, for a process that serves nothing else."""

from __future__ import annotations

import http.server
import socket
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

PORT = 8443
CERTIFICATE, KEY = "/etc/tls/tls.crt", "/etc/tls/tls.key"


def serve(looks: Mapping[str, Callable[[], Sequence[str]]]) -> http.server.ThreadingHTTPServer:
    """Serve probes in a thread. looks: path → function that lists what the process lacks.

    An empty list answers 200, any other 503. Raises OSError when the port is taken or the
    certificate is missing.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def do_GET(self) -> None:
            look = looks.get(self.path)
            lacks = look() if look else ["such a page"]
            body = ("lacks " + ", ".join(lacks) if lacks else "ok").encode()
            self.send_response(404 if look is None else 503 if lacks else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Log no probe."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(CERTIFICATE, KEY)

    class Server(http.server.ThreadingHTTPServer):
        def get_request(self) -> tuple[socket.socket, Any]:
            # reload for each connection: the certificate may be renewed, and probes are few
            context.load_cert_chain(CERTIFICATE, KEY)
            return super().get_request()

    server = Server(("0.0.0.0", PORT), Handler)  # noqa: S104  in a pod
    # the handshake runs in the connection's own thread, not in the one that accepts
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()
    return server
