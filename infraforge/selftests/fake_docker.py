#!/usr/bin/env python3
"""A stand-in for `docker` on the PATH: containers are objects in a JSON file, calls go to a log.

Run as `docker`, it does what the harness asks of Docker about nodes; what it does not know ends
with 125, as Docker's own usage errors do. FAKE_DOCKER names the file.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any


class FakeDocker:
    """The containers of the stand-in, for the tests."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "containers.json"
        self.log = folder / "docker.log"
        self.path.write_text("[]")
        self.log.touch()

    def add(
        self,
        name: str,
        cluster: str = "",
        *,
        status: str = "running",
        mounts: str = "",
        role: str = "control-plane",
        started: str = "2026-01-01T00:00:00.123456789Z",
        address: str = "172.20.0.2",
        ours: str = "",
    ) -> None:
        """A container; cluster: KIND's label; mounts: the folder of this machine it mounts.

        ours: the value of InfraForge's own label.
        """
        labels = {"io.x-k8s.kind.cluster": cluster, "io.x-k8s.kind.role": role} if cluster else {}
        labels |= {"infraforge": ours} if ours else {}
        binds = [f"{mounts}/certs.d:/etc/containerd/certs.d:ro"] if mounts else None
        one = {
            "Id": f"id-of-{name}",
            "Name": f"/{name}",
            "Config": {"Labels": labels},
            "State": {"Status": status, "StartedAt": started},
            "HostConfig": {"Binds": binds},
            "NetworkSettings": {"Networks": {"kind": {"IPAddress": address}}},
        }
        self.path.write_text(json.dumps([*self.containers, one]))

    @property
    def containers(self) -> list[dict[str, Any]]:
        stored: list[dict[str, Any]] = json.loads(self.path.read_text())
        return stored

    def status(self, name: str) -> str:
        """Docker's word for how it is; "gone" where there is none."""
        for one in self.containers:
            if one["Name"] == f"/{name}":
                return str(one["State"]["Status"])
        return "gone"

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    @property
    def changes(self) -> list[str]:
        """The calls that change anything."""
        looks = ("ps", "inspect", "info", "network inspect")
        return [call for call in self.calls if not call.startswith(looks)]

    def install(self, into: Path) -> None:
        """Put the stand-in into a folder of the PATH."""
        program = into / "docker"
        program.write_text(Path(__file__).read_text())
        program.chmod(0o755)


def _main(argv: list[str]) -> int:
    path = Path(os.environ["FAKE_DOCKER"])
    with path.with_name("docker.log").open("a") as log:
        log.write(" ".join(argv) + "\n")
    there = json.loads(path.read_text())
    verb, rest = argv[0], argv[1:]
    if verb == "info":
        return 0
    if verb == "ps":
        _list(rest, there)
        return 0
    names = [word for word in rest if not word.startswith("-")]
    if verb == "exec":
        if "ps" in rest:
            print(os.environ.get("FAKE_AGE", ""))
        return 0
    chosen = [one for one in there if {one["Id"], one["Name"].lstrip("/")} & set(names)]
    if len(chosen) < len(names):
        print("Error: No such container", file=sys.stderr)
        return 1
    if verb == "inspect":
        print(json.dumps(chosen))
    elif verb == "rm":
        there = [one for one in there if one not in chosen]
    elif verb in ("start", "unpause", "stop"):
        for one in chosen:
            one["State"]["Status"] = "exited" if verb == "stop" else "running"
            if verb != "unpause":
                one["NetworkSettings"]["Networks"]["kind"]["IPAddress"] = ""
            if verb == "start":
                _begin(one, there)
    else:
        print(f"docker: {verb!r} is not a docker command", file=sys.stderr)
        return 125
    path.write_text(json.dumps(there))
    return 0


def _list(rest: list[str], there: list[dict[str, Any]]) -> None:
    wanted = rest[rest.index("--filter") + 1] if "--filter" in rest else "name="
    asked = re.search(r'\.Label "([^"]+)"', " ".join(rest))
    for one in there:
        if _fits(one, wanted):
            print(f"<{one['Config']['Labels'].get(asked[1], '')}>" if asked else one["Id"])


def _begin(one: dict[str, Any], there: list[dict[str, Any]]) -> None:
    """It gets the lowest address that is free, and starts at the time that its number says."""
    networks = [other["NetworkSettings"]["Networks"]["kind"] for other in there]
    taken = {network["IPAddress"] for network in networks}
    free = next(n for n in range(2, 250) if f"172.20.0.{n}" not in taken)
    one["NetworkSettings"]["Networks"]["kind"]["IPAddress"] = f"172.20.0.{free}"
    one["State"]["StartedAt"] = "2026-02-01T00:00:00Z"


def _fits(one: dict[str, Any], wanted: str) -> bool:
    kind, _, value = wanted.partition("=")
    if kind == "name":
        return any(re.search(value, name) for name in (one["Name"], one["Name"].lstrip("/")))
    key, given, text = value.partition("=")
    labels = one["Config"]["Labels"]
    return labels.get(key) == text if given else key in labels


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
