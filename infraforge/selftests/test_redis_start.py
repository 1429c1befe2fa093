"""What a member starts as, by what the sentinels say; and what a sentinel starts from.

The platform's own scripts, with programs beside them that say what the test wants.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from infraforge.components import redis_members
from infraforge.selftests.local_redis import moved

FOLDERS = Path(__file__).parents[2] / "platform" / "components"
SCRIPT = FOLDERS / "redis-cache/overlays/replicated/start.sh"
DOMAIN = "redis-cache-internal.infraforge-data.svc.cluster.local"
PLACES = redis_members.places([f"redis-sentinel-{number}" for number in range(3)])

# says what stands in the file named like the sentinel, and notes how it was asked
CLI = """#!/bin/sh
echo "$REDISCLI_AUTH $*" >> "{home}/asked"
while [ "$1" != -h ]; do shift; done
cat "{home}/says/${{2%%.*}}" 2>/dev/null || exit 1
"""
# a second passes at once; after some the sentinels say something else
SLEEP = """#!/bin/sh
echo x >> "{home}/slept"
n=$(wc -l < "{home}/slept")
[ ! -d "{home}/says.$n" ] || cp "{home}/says.$n"/* "{home}/says"
[ "$n" -lt 40 ] || kill "$PPID"
"""
SERVER = """#!/bin/sh
echo "$*" > "{home}/started"
env > "{home}/environment"
"""


class Pod:
    """redis-cache-1 at its start. says: what each sentinel answers, by its number."""

    def __init__(self, home: Path) -> None:
        self.home = home
        for name in ("says", "bin", "run/redis", "etc/redis", "data", "tmp"):
            (home / name).mkdir(parents=True)
        programs = {"redis-cli": CLI, "sleep": SLEEP, "redis-server": SERVER}
        for name, text in programs.items():
            (home / "bin" / name).write_text(text.format(home=home))
            (home / "bin" / name).chmod(0o755)

    def says(
        self, number: int, master: int, epoch: int = 0, replicas: int = 1, flags: str = "master",
        *, after: int = 0,
    ) -> None:  # fmt: skip
        """after: seconds after which it says this."""
        folder = self.home / (f"says.{after}" if after else "says")
        folder.mkdir(exist_ok=True)
        told = {
            "name": "cache",
            "ip": f"redis-cache-{master}.{DOMAIN}",
            "port": "6379",
            "runid": "",
            "flags": flags,
            "num-slaves": replicas,
            "num-other-sentinels": "2",
            "config-epoch": epoch,
        }
        lines = "".join(f"{key}\n{value}\n" for key, value in told.items())
        (folder / f"redis-sentinel-{number}").write_text(lines)

    def run(self, script: Path, **more: str) -> str:
        """What it printed."""
        path = self.home / "start.sh"
        path.write_text(moved(script.read_text(), self.home))
        done = subprocess.run(
            ["/bin/sh", str(path)],
            env={
                "PATH": f"{self.home}/bin:{os.environ['PATH']}",
                "POD_NAME": "redis-cache-1",
                "DOMAIN": DOMAIN,
                "GROUP": "cache",
                "REDIS_SENTINELS": ",".join(PLACES),
                "MEMBER_PASSWORD": "mine",
                "REPLICA_PASSWORD": "ours",
                "REDISCLI_AUTH": "probe",
                **more,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert not done.stderr.replace("Terminated", "").strip(), done.stderr
        return done.stdout

    @property
    def started_as(self) -> str:
        """`master`, whose replica, or "" where it did not start."""
        if not (self.home / "started").exists():
            return ""
        lines = (self.home / "run/redis/redis.conf").read_text().splitlines()
        of = [line.split()[1] for line in lines if line.startswith("replicaof ")]
        return of[0].partition(".")[0] if of else "master"

    @property
    def waited(self) -> int:
        slept = self.home / "slept"
        return len(slept.read_text().splitlines()) if slept.exists() else 0


@pytest.fixture
def pod(tmp_path: Path) -> Pod:
    return Pod(tmp_path)


def test_a_member_follows_whom_the_sentinels_name(pod: Pod) -> None:
    for number in range(3):
        pod.says(number, master=0)
    assert "redis-cache-0" in pod.run(SCRIPT)
    assert (pod.started_as, pod.waited) == ("redis-cache-0", 0)
    conf = (pod.home / "run/redis/redis.conf").read_text()
    assert f"replica-announce-ip redis-cache-1.{DOMAIN}\n" in conf
    assert "masteruser replica\nmasterauth ours\n" in conf
    assert (pod.home / "run/redis/redis.conf").stat().st_mode & 0o077 == 0


def test_the_named_member_starts_as_master(pod: Pod) -> None:
    for number in range(3):
        pod.says(number, master=1, epoch=4)
    pod.run(SCRIPT)
    assert (pod.started_as, pod.waited) == ("master", 0)


def test_the_first_of_all_does_not_wait_for_a_promotion_that_cannot_be(pod: Pod) -> None:
    for number in range(3):
        pod.says(number, master=0, replicas=0, flags="s_down,master,disconnected")
    pod.run(SCRIPT, POD_NAME="redis-cache-0")
    assert (pod.started_as, pod.waited) == ("master", 0)


@pytest.mark.parametrize("heard", [0, 1])
def test_without_a_majority_nobody_starts(pod: Pod, heard: int) -> None:
    """Whoever it names: it may be the one that has not heard of a promotion."""
    for number in range(heard):
        pod.says(number, master=1, epoch=9)
    out = pod.run(SCRIPT)
    assert pod.started_as == ""
    assert out.count(f"{heard} sentinels answer, and 2 must") == 1  # not each second anew


def test_two_of_three_are_a_majority(pod: Pod) -> None:
    pod.says(0, master=0)
    pod.says(2, master=0)
    pod.run(SCRIPT)
    assert pod.started_as == "redis-cache-0"


@pytest.mark.parametrize("knows", range(3))
def test_the_highest_epoch_counts_and_not_the_number(pod: Pod, knows: int) -> None:
    """One sentinel of a majority has heard of the promotion, the others have not yet."""
    for number in range(3):
        pod.says(number, master=1, epoch=9)
    pod.says(knows, master=2, epoch=10)
    pod.run(SCRIPT)
    assert pod.started_as == "redis-cache-2"


@pytest.mark.parametrize("flags", ["s_down,master", "master,o_down", "master,failover_in_progress"])
def test_a_master_taken_for_dead_waits_for_who_is_promoted(pod: Pod, flags: str) -> None:
    """It comes back with an empty memory, perhaps: it must not be master beside another one."""
    for number in range(3):
        pod.says(number, master=1, epoch=1)
        pod.says(number, master=2, epoch=2, after=4)
    pod.says(1, master=1, epoch=1, flags=flags)
    out = pod.run(SCRIPT)
    assert (pod.started_as, pod.waited) == ("redis-cache-2", 4)
    assert "takes it for dead" in out or "take it for dead" in out


def test_where_nobody_is_promoted_it_is_master_again(pod: Pod) -> None:
    """All members were away at once: none can be promoted, and it is not waited for for ever."""
    for number in range(3):
        pod.says(number, master=1, epoch=1, flags="s_down,o_down,master")
    pod.run(SCRIPT)
    assert (pod.started_as, pod.waited) == ("master", 10)


def test_sentinels_are_asked_by_tls_and_with_the_members_own_password(pod: Pod) -> None:
    for number in range(3):
        pod.says(number, master=0)
    pod.run(SCRIPT)
    asked = (pod.home / "asked").read_text().splitlines()
    assert len(asked) == 3
    for line in asked:
        assert line.startswith("mine --tls --cacert ")
        assert " --user member -h redis-sentinel-" in line
        assert "mine" not in line.partition(" ")[2]
        assert "--insecure" not in line
    environment = (pod.home / "environment").read_text()
    assert not [line for line in environment.splitlines() if "PASSWORD" in line or "_AUTH" in line]


def test_what_a_broken_copy_left_is_cleared_away(pod: Pod) -> None:
    (pod.home / "tmp" / "temp-12.3.rdb").write_text("half")
    (pod.home / "data" / "appendonlydir").mkdir()
    pod.says(0, master=0)
    pod.says(1, master=0)
    pod.run(SCRIPT)
    assert list((pod.home / "tmp").iterdir()) == []
    assert (pod.home / "data" / "appendonlydir").exists()


def test_both_groups_start_alike() -> None:
    """Kustomize takes no file from outside a component's folder, so each has a copy."""
    other = FOLDERS / "redis-sessions/overlays/replicated/start.sh"
    assert other.read_text() == SCRIPT.read_text()


# a sentinel


def sentinel(pod: Pod) -> str:
    shutil.copy(FOLDERS / "redis-sentinel/sentinel.conf", pod.home / "etc/redis")
    pod.run(
        FOLDERS / "redis-sentinel/start.sh",
        POD_NAME="redis-sentinel-2",
        DOMAIN=redis_members.domain(redis_members.SENTINEL, redis_members.SENTINEL_NAMESPACE),
        SENTINEL_PASSWORD="own",
        CACHE_PASSWORD="c",
        SESSIONS_PASSWORD="s",
    )
    assert (pod.home / "started").read_text() == f"{pod.home}/data/sentinel.conf --sentinel\n"
    return (pod.home / "data/sentinel.conf").read_text()


def test_a_sentinel_that_knows_nothing_begins_with_member_0(pod: Pod) -> None:
    conf = sentinel(pod)
    assert f"sentinel monitor cache redis-cache-0.{DOMAIN} 6379 2\n" in conf
    assert "sentinel announce-ip redis-sentinel-2.redis-sentinel-internal." in conf
    assert "sentinel auth-pass cache c\n" in conf
    assert (pod.home / "data/sentinel.conf").stat().st_mode & 0o077 == 0


def test_its_id_stays_and_is_its_own(pod: Pod, tmp_path: Path) -> None:
    [first] = [line for line in sentinel(pod).splitlines() if line.startswith("sentinel myid ")]
    [again] = [line for line in sentinel(pod).splitlines() if line.startswith("sentinel myid ")]
    assert first == again
    assert len(first.split()[2]) == 40


def test_a_sentinel_forgets_neither_master_nor_epoch_nor_whom_it_met(pod: Pod) -> None:
    kept = [
        "sentinel current-epoch 7",
        "sentinel config-epoch cache 6",
        "sentinel leader-epoch cache 7",
        f"sentinel known-replica cache redis-cache-0.{DOMAIN} 6379",
        "sentinel known-sentinel cache redis-sentinel-0.x 26379 0123",
    ]
    # as Sentinel 8.0.2 rewrites it: in its own order, with numbers of before
    rewritten = [
        f"sentinel monitor cache redis-cache-2.{DOMAIN} 6379 1",
        "sentinel down-after-milliseconds cache 1",
        "sentinel auth-pass cache old",
        "sentinel myid ffff",
        *kept,
    ]
    (pod.home / "data/sentinel.conf").write_text("\n".join(rewritten) + "\n")
    lines = sentinel(pod).splitlines()
    assert [line for line in kept if line in lines] == kept
    assert f"sentinel monitor cache redis-cache-2.{DOMAIN} 6379 2" in lines
    assert sum(line.startswith("sentinel monitor cache ") for line in lines) == 1
    assert "sentinel down-after-milliseconds cache 5000" in lines
    assert not {"sentinel auth-pass cache old", "sentinel myid ffff"} & set(lines)
