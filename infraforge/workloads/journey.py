"""One journey through the whole platform: what a user does on an ordinary day."""

from __future__ import annotations

import secrets

from infraforge.workloads.backend_client import ApiError, BackendClient
from infraforge.workloads.front_door import FrontDoor, Unexpected
from infraforge.workloads.people import Person
from infraforge.workloads.visitor import NoAnswer

NOT_YET = (NoAnswer, Unexpected, ApiError)
"""Errors of a journey while a part of the platform is down; a denial is not among them."""


def whole_way(front_door: FrontDoor, person: Person) -> bool:
    """Sign in, see the dashboard, create a project, store a file in it, read both, sign out.

    True when it read what it had written. Raises one of `NOT_YET` for the step that failed, Broken
    for a denial.
    """
    visitor = front_door.sign_in(person.name, person.password)
    client = BackendClient(visitor, front_door.origin)
    made = client.create_project(f"journey {secrets.token_hex(4)}")
    try:
        content = secrets.token_bytes(2_000)
        client.put_file(made.id, "luggage.bin", content)
        same = client.get_file(made.id, "luggage.bin") == content
        read = client.read_project(made.id)[0] == made
    finally:
        client.delete_project(made.id)
    front_door.sign_out(visitor)
    return same and read
