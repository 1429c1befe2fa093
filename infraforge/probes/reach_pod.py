"""Runs in a probe pod, which has only Python's standard library: tries connections.

argv: a JSON list of [host, port]. Prints a JSON list of [outcome, detail] in the same order.
"""

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

ATTEMPTS = 3
PATIENCE = 2.0


def once(host: str, port: int) -> tuple[str, str]:
    """Try one connection: open, blocked (no reply at all), refused, unresolved or failed."""
    try:
        address = socket.gethostbyname(host)
    except OSError as error:
        return "unresolved", str(error)
    try:
        socket.create_connection((address, port), timeout=PATIENCE).close()
    except TimeoutError:
        return "blocked", f"nothing within {PATIENCE:g} s"
    except ConnectionRefusedError as error:
        return "refused", str(error)
    except OSError as error:
        return "failed", str(error)
    return "open", ""


def several(host: str, port: int) -> tuple[str, str]:
    """open as soon as one attempt succeeds; blocked only if every attempt is."""
    told = "failed", "not tried"
    for number in range(ATTEMPTS):
        outcome = once(host, port)
        if outcome[0] == "open":
            return outcome
        if number == 0 or outcome[0] != "blocked":
            told = outcome
    return told


if __name__ == "__main__":
    targets = json.loads(sys.argv[1])
    with ThreadPoolExecutor(len(targets)) as pool:
        print(json.dumps(list(pool.map(lambda target: several(*target), targets))))
