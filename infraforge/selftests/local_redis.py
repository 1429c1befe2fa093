"""Both groups and their sentinels on loopback, from the binaries of this machine, under a folder.

They run in a network and with a file of hosts of their own, with the platform's own scripts,
configuration and users, and with certificates of a CA of their own: only paths and addresses
differ. `kill`, `freeze` and `forget_name` break one; `start` is what the kubelet does.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from infraforge.cluster import pki
from infraforge.components import redis_members, redis_users
from infraforge.components.redis_members import GROUPS, SENTINEL, SENTINEL_NAMESPACE, View
from infraforge.profile import Profile
from infraforge.wait import seconds, wait_until

TREE = Path(__file__).parents[2] / "platform"
LAB = "lab"
_DYING = ["setpriv", "--pdeathsig", "KILL", "--"]
"""Nothing outlives the test's own process, however that ends."""
_PROGRAMS = ("redis-server", "redis-cli", "unshare", "nsenter", "setpriv")
_OURS = ["--net", "--mount", *(["--user"] if os.geteuid() else [])]


def _lacks() -> str:
    missing = [name for name in _PROGRAMS if not shutil.which(name)]
    if missing:
        return f"no {missing[0]} on this machine"
    mapped = ["--map-root-user"] if os.geteuid() else []
    tried = subprocess.run(["unshare", *_OURS, *mapped, "true"], check=False, capture_output=True)
    return "no network of one's own on this machine" if tried.returncode else ""


LACKS = _lacks()


def moved(text: str, home: Path) -> str:
    """A script or a configuration, with the paths of its pod under this folder."""
    return re.sub(r"(?<![\w/!])/(etc|run|data|tmp)(?=[/\s\"'])", rf"{home}/\1", text)


class LocalRedis:
    """Three members of each group of GROUPS, and three sentinels; `stop` is to be called."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.profile = Profile.load("enterprise", TREE)
        self._site: Any = SimpleNamespace(tree=TREE, profile=self.profile)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._homes: dict[str, Path] = {}
        names = [(SENTINEL, SENTINEL_NAMESPACE), *GROUPS.values()]
        pods = [
            (
                f"{component}-{number}",
                redis_members.full_name(component, ns, f"{component}-{number}"),
            )
            for component, ns in names
            for number in range(3)
        ]
        self._hosts = {full: f"127.0.1.{number + 1}" for number, (_, full) in enumerate(pods)}
        self._full = dict(pods)
        self._all_hosts = dict(self._hosts)
        self._hosts_file = folder / "hosts"
        self._write_hosts()
        # the folder of a rotation's CA: `authority` issues, `ca_file` is what is trusted
        self.ca_folder = folder / "ca"
        self.ca_file = self.authority.ca_file
        self.passwords = {
            component: {user: f"{user}-of-{component}" for user in (*self.rules(component), LAB)}
            for component, _ in names
        }
        mapped = ["--map-root-user"] if os.geteuid() else []
        script = f"ip link set lo up; mount --bind {self._hosts_file} /etc/hosts; exec sleep 900"
        shell = [*_DYING, "/bin/sh", "-ec", script]
        self._holder = subprocess.Popen(["unshare", *_OURS, *mapped, *shell])
        for component, namespace in names:
            for number in range(3):
                self._furnish(component, namespace, f"{component}-{number}")

    @property
    def authority(self) -> pki.Authority:
        return pki.Authority.load_or_create(self.ca_folder)

    def rules(self, component: str) -> dict[str, str]:
        return dict(redis_users.rules_of(self._site, component))

    # what happens to them

    def start_all(self) -> None:
        for pod in self._homes:
            self.start(pod)

    def start(self, pod: str) -> None:
        home = self._homes[pod]
        with (home / "log").open("ab") as log:
            self._processes[pod] = subprocess.Popen(
                self._within("/bin/sh", str(home / "etc/redis/start.sh")),
                env={**os.environ, **self._env(pod)},
                stdout=log,
                stderr=log,
            )

    def kill(self, pod: str) -> None:
        self._processes[pod].kill()
        self._processes[pod].wait()

    def freeze(self, pod: str) -> None:
        self._processes[pod].send_signal(signal.SIGSTOP)

    def thaw(self, pod: str) -> None:
        self._processes[pod].send_signal(signal.SIGCONT)

    def forget_name(self, pod: str) -> None:
        """As DNS does with the name of a pod that has no address."""
        self._hosts.pop(self._full[pod])
        self._write_hosts()

    def renew(self) -> None:
        """New certificates, and what is trusted now, in every pod, as the platform brings them.

        Members load them while they run; sentinels are replaced one at a time.
        """
        for pod in self._homes:
            self._mount(pod)
            if pod.startswith(SENTINEL):
                self.kill(pod)
                self.start(pod)
                wait_until(lambda pod=pod: self._answers(pod), seconds(20), what=f"{pod} is back")
            else:
                home = self._homes[pod]
                files = {
                    "tls-cert-file": home / "etc/tls/tls.crt",
                    "tls-key-file": home / "etc/tls/tls.key",
                    "tls-ca-cert-file": home / "etc/platform-ca/ca.crt",
                }
                words = [str(word) for pair in files.items() for word in pair]
                assert self.ask(pod, "renewer", "config", "set", *words) == "OK"

    def know_names(self) -> None:
        """All names, as at first."""
        self._hosts = dict(self._all_hosts)
        self._write_hosts()

    def stop(self) -> None:
        for process in (*self._processes.values(), self._holder):
            process.kill()
            process.wait()

    # what they say

    @property
    def pods(self) -> list[str]:
        return list(self._homes)

    def log(self, pod: str) -> str:
        return (self._homes[pod] / "log").read_text()

    def config(self, pod: str) -> str:
        """The file that the process rewrites."""
        kept = "data/sentinel.conf" if pod.startswith(SENTINEL) else "run/redis/redis.conf"
        return (self._homes[pod] / kept).read_text()

    def runs(self, pod: str) -> bool:
        return self._processes[pod].poll() is None

    def ask(self, pod: str, user: str, *words: str) -> str:
        """What redis-cli prints, an error included; raises AssertionError where nobody answers."""
        component = pod.rpartition("-")[0]
        port = "26379" if component == SENTINEL else "6379"
        address = ["-h", self._full[pod], "-p", port, "--user", user, "--raw", "-t", "2"]
        done = subprocess.run(
            self._within("redis-cli", "--tls", "--cacert", str(self.ca_file), *address, *words),
            env={**os.environ, "REDISCLI_AUTH": self.passwords[component][user]},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )
        assert "Could not connect" not in done.stderr, done.stderr
        return done.stdout.strip()

    def python(self, text: str, *argv: str) -> str:
        """What a Python program prints that runs where the members' names are known."""
        done = subprocess.run(
            self._within(sys.executable, "-c", text, *argv),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def info(self, pod: str) -> dict[str, str]:
        lines = self.ask(pod, "observer", "info", "replication").splitlines()
        return dict(line.strip().split(":", 1) for line in lines if ":" in line)

    def masters(self, component: str) -> list[str]:
        """Those members that run and call themselves master."""
        pods = [f"{component}-{number}" for number in range(3)]
        return [pod for pod in pods if self._answers(pod) and self.info(pod)["role"] == "master"]

    def views(self, group: str) -> list[View]:
        found = []
        for number in range(3):
            pod = f"{SENTINEL}-{number}"
            if self._answers(pod):
                words = self.ask(pod, "observer", "sentinel", "master", group).split("\n")
                found.append(View.told(pod, words))
        return found

    def whole(self, group: str) -> str:
        """The master, once all members and all sentinels agree about it; "" until then."""
        component, _ = GROUPS[group]
        masters = self.masters(component)
        if len(masters) != 1 or not redis_members.agreed(self.views(group), masters[0], 3, 3):
            return ""
        others = [f"{component}-{n}" for n in range(3) if f"{component}-{n}" != masters[0]]
        follow = [
            info["master_link_status"] == "up" and info["master_host"] == self._full[masters[0]]
            for info in map(self.info, others)
        ]
        return masters[0] if all(follow) else ""

    def wait_whole(self, group: str, within: float = 60) -> str:
        return wait_until(
            lambda: self.whole(group),
            seconds(within),
            every=0.5,
            ignoring=(AssertionError, KeyError),
        )

    def _answers(self, pod: str) -> bool:
        process = self._processes.get(pod)
        if process is None or process.poll() is not None:
            return False
        try:
            return self.ask(pod, "probe", "ping") != ""
        except (AssertionError, subprocess.TimeoutExpired):
            return False

    def _within(self, *argv: str) -> list[str]:
        user = ["--user", "--preserve-credentials"] if os.geteuid() else []
        pid = str(self._holder.pid)
        return ["nsenter", "--target", pid, *user, "--net", "--mount", "--", *_DYING, *argv]

    def _write_hosts(self) -> None:
        # in place: the file itself is mounted
        self._hosts_file.write_text(
            "127.0.0.1 localhost\n"
            + "".join(f"{address} {name}\n" for name, address in self._hosts.items())
        )

    def _mount(self, pod: str) -> None:
        home = self._homes[pod]
        pair = self.authority.issue([self._full[pod], "localhost"], ["127.0.0.1"])
        (home / "etc/tls/tls.crt").write_text(pair.cert_pem)
        (home / "etc/tls/tls.key").write_text(pair.key_pem)
        shutil.copy(self.ca_file, home / "etc/platform-ca/ca.crt")

    def _furnish(self, component: str, namespace: str, pod: str) -> None:
        home = self._folder / pod
        self._homes[pod] = home
        for name in ("etc/redis", "etc/tls", "etc/platform-ca", "etc/redis-acl", "run/redis"):
            (home / name).mkdir(parents=True)
        for name in ("data", "tmp"):
            (home / name).mkdir()
        self._mount(pod)
        # `lab` may do everything: what the platform's own users may not, a test has to do itself
        rules = {**self.rules(component), LAB: "~* &* +@all"}
        users = redis_users.acl(rules, self.passwords[component])
        (home / "etc/redis-acl/users.acl").write_text(users)
        folder = TREE / "components" / component
        files = [*folder.glob("*.conf"), *folder.glob("start.sh")]
        files += [*folder.glob("overlays/replicated/*.conf"), *folder.glob("overlays/*/start.sh")]
        for path in files:
            text = moved(path.read_text(), home)
            text = text.replace("bind * -::*", f"bind {self._hosts[self._full[pod]]}")
            (home / "etc/redis" / path.name).write_text(text)

    def _env(self, pod: str) -> dict[str, str]:
        component = pod.rpartition("-")[0]
        folder = TREE / "components" / component
        told = {"POD_NAME": pod}
        for path in (folder / "statefulset.yaml", folder / "overlays/replicated/statefulset.yaml"):
            if path.exists():
                spec = yaml.safe_load(path.read_text())["spec"]["template"]["spec"]
                env = spec["containers"][0].get("env", ())
                told |= {one["name"]: one["value"] for one in env if "value" in one}
        own = self.passwords[component]
        if component == SENTINEL:
            for group, (watched, _) in GROUPS.items():
                told[f"{group.upper()}_PASSWORD"] = self.passwords[watched]["sentinel"]
            return told | {"SENTINEL_PASSWORD": own["sentinel"]}
        places = redis_members.places(redis_members.sentinels(self.profile))
        return told | {
            "REDIS_SENTINELS": ",".join(places),
            "MEMBER_PASSWORD": self.passwords[SENTINEL]["member"],
            "REPLICA_PASSWORD": own["replica"],
        }
