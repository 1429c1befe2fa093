"""One sabotage, or a group, of a running platform: undo to disk, break, test, mend, test again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psycopg

from infraforge import folders, outcome, progress, stack
from infraforge.cluster import kind, node_files, registry, state
from infraforge.cluster.docker_cli import docker
from infraforge.cluster.pki import write_private
from infraforge.components.postgres import Postgres
from infraforge.components.site import Site
from infraforge.errors import ClusterError, Inconclusive, InfraForgeError, UsageError
from infraforge.faults import nemesis
from infraforge.images import build
from infraforge.images.catalogue import Catalogue
from infraforge.profile import Profile
from infraforge.progress import Progress
from infraforge.sabotage import verdict
from infraforge.sabotage.case import Sabotage
from infraforge.sabotage.verdict import Judgement
from infraforge.stack import TREE
from infraforge.turns import SIDE_BY_SIDE
from infraforge.verdict import Outcome
from infraforge.wait import NotYet, minutes, seconds, wait_until

ROOT = folders.root()
REPORTS = folders.output()
JOURNAL = "sabotage.json"
_SUITES = ("suites",)
_FAULTS = (
    "suites/failover",
    "suites/promotion",
    "suites/replication",
    "suites/security/test_rotation.py",
)
_RUN = minutes(30)
_LEAVE = seconds(60)
"""For pods that were replaced (they may take 50 s), and for tests that are told to stop."""


def heal(cluster: str) -> list[str]:
    """Undo the sabotage that is in the journal of this platform; what was undone, in words.

    Raises UsageError when another process is at it, Inconclusive when it cannot be undone: it
    stays in the journal then.
    """
    path = state.cluster_dir(cluster) / JOURNAL
    if not path.exists():
        return []
    left = json.loads(path.read_text())
    profile = stack.deployable(left["profile"], TREE)
    # a fault of tests that were stopped; what fails now may succeed on the mended platform, and one
    # that is silent is started again by what follows
    with contextlib.suppress(Inconclusive), contextlib.closing(stack.attach(cluster).site) as site:
        nemesis.heal(site)
    with progress.shown() as say:
        platform = stack.stand_up(cluster, profile, progress=say, keep=False)
    with contextlib.closing(platform.site) as site:
        undone = [*nemesis.heal(site), f"sabotage {left['sabotage']}: {left['claim']}"]
        _wait_for_replaced(site)
        _run_sql(site, left["undo_sql"])
        _wait_for_health(platform)
    path.unlink()
    return undone


def in_journal(cluster: str) -> str:
    """The sabotage of this platform that is not undone, left behind or under way; "" for none."""
    path = state.cluster_dir(cluster) / JOURNAL
    if not path.exists():
        return ""
    try:
        return str(json.loads(path.read_text())["sabotage"])
    except (ValueError, KeyError, TypeError) as error:
        raise Inconclusive(f"{path} is no journal of a sabotage: {error}") from error


@dataclass(frozen=True)
class Experiment:
    """A sabotage about to be tried. tree: the patched copy; cluster: the platform's name.

    only: files or folders of tests, where not all of them are to run.
    """

    sabotage: Sabotage
    tree: Path
    cluster: str
    profile: Profile
    only: tuple[str, ...] = ()

    def judgement(self) -> Judgement:
        """Whether the tests catch it; the platform is as before when this returns or raises.

        Raises InfraForgeError when it is not: then nothing more must be tried on it.
        """
        named = self.sabotage.red
        try:
            with state.locked(self.cluster):
                self._journal()
                try:
                    self._break()
                    found = verdict.judge(named, self._test(), self._required())
                except InfraForgeError as error:
                    found = _nothing_said(named, error)
        finally:
            for undone in heal(self.cluster):
                print(f"undone: {undone}", flush=True)
            self._forget_images()
        return self.confirmed(found) if found.outcome is Outcome.HOLDS else found

    def confirmed(self, found: Judgement) -> Judgement:
        """The same, if the red tests hold now: it was the sabotage, and it is undone."""
        try:
            after = self._test(*found.as_named)
        except InfraForgeError as error:
            return _nothing_said(found.as_named, error)
        odd = sorted(outcome.red(after) | outcome.unknown(after))
        if not odd:
            return found
        why = f"not only then: {', '.join(node.split('::')[-1] for node in odd)}"
        return dataclasses.replace(found, outcome=Outcome.UNKNOWN, why=why)

    def _journal(self) -> None:
        note = {
            "sabotage": self.sabotage.name,
            "claim": self.sabotage.claim,
            "profile": self.profile.name,
            "undo_sql": self.sabotage.undo_sql,
        }
        write_private(state.cluster_dir(self.cluster) / JOURNAL, json.dumps(note, indent=1))

    def _break(self) -> None:
        """Roll out the patched tree. Raises ClusterError when it is not what runs then."""
        with progress.shown() as say:
            changed, site = self._roll_out(say)
        missed = [name for name in self.sabotage.components if name not in changed]
        if missed:
            raise ClusterError(f"nothing of it reached {', '.join(missed)}: not broken")
        _wait_for_replaced(site)
        print(f"broken by rolling out {', '.join(sorted(changed))}", flush=True)

    def _roll_out(self, say: Progress) -> tuple[list[str], Site]:
        platform = stack.attach(self.cluster, self.tree, as_declared=True)
        with state.sharing_machine():
            plan = stack.images_for(platform.profile, self.tree, say)
            before = registry.started_as()
            issuer = stack.start_registry(plan.catalogue)
            changed = ["registry"] if registry.started_as() != before else []
            if node_files.refresh(kind.Kind(self.cluster, self.tree), self.tree, issuer.ca_file):
                changed.append("cluster")
            digests = plan.fill(issuer.ca_file, say)
        with contextlib.closing(platform.site) as site:
            changed += dataclasses.replace(platform, digests=digests).deploy(say)
            return changed, site

    def _forget_images(self) -> None:
        """Remove what was built of the patched tree: a broken image must not lie about."""
        broken, true = Catalogue.load(self.tree), Catalogue.load(TREE)
        for name in broken.images:
            if broken.content_hash(name) != true.content_hash(name):
                with contextlib.suppress(UsageError):  # it did not come to building it
                    docker("image", "rm", build.record(name, broken).tag, check=False)

    def _left_out(self) -> tuple[str, ...]:
        """Files of tests that break the platform themselves, but for those that are to notice.

        Two things broken at once say little of either, and take long.
        """
        owed = self.profile.owed(_SUITES)
        files = {node.split("::")[0] for node in owed if node.startswith(_FAULTS)}
        return tuple(sorted(files - {node.split("::")[0] for node in self.sabotage.red}))

    def _all_tests(self) -> tuple[str, ...]:
        """The suites, and those experiments of `chaos` that are to notice."""
        if self.only:
            return self.only
        return (*_SUITES, *(node for node in self.sabotage.red if not node.startswith(_SUITES)))

    def _required(self) -> list[str]:
        left_out = self._left_out()
        owed = self.profile.owed(_SUITES)
        if self.only:
            owed = tuple(node for node in owed if node.startswith(self.only))
        return [node for node in owed if not node.startswith(left_out)]

    def _test(self, *nodes: str) -> Mapping[str, Outcome]:
        """The outcomes of these tests, by default of all; their output goes to a log."""
        log = REPORTS / f"sabotage-{self.sabotage.name}.log"
        log.parent.mkdir(exist_ok=True)
        print(f"{f'{len(nodes)} tests' if nodes else 'all tests'} run; output: {log}", flush=True)
        with tempfile.TemporaryDirectory() as folder, log.open("ab" if nodes else "wb") as out:
            tally = Path(folder) / "tally.json"
            code = self._pytest(nodes or self._all_tests(), tally, out)
            text = tally.read_text() if tally.exists() else "{}"
        found = {node: Outcome(said) for node, said in json.loads(text).items()}
        if not found:
            raise Inconclusive(f"the tests did not run (pytest ended with {code}); see {log}")
        return found

    def _pytest(self, nodes: Sequence[str], tally: Path, out: IO[bytes]) -> int:
        argv = [sys.executable, "-m", "pytest", *nodes, f"--tally={tally}"]
        argv += [f"--ignore={file}" for file in self._left_out()]
        argv += [f"--profile={self.profile.name}", f"--cluster-name={self.cluster}"]
        # what tests say of a broken platform is no evidence of this one
        argv += ["--unrecorded"]
        argv += [*SIDE_BY_SIDE, "-q", "-rfE", "-p", "no:cacheprovider"]
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C comes to us alone
        )
        try:
            return process.wait(_RUN)
        except subprocess.TimeoutExpired as error:
            raise Inconclusive(f"the tests did not end within {_RUN / 60:.0f} minutes") from error
        finally:
            _end(process)


def _nothing_said(named: Sequence[str], error: InfraForgeError) -> Judgement:
    """The judgement for the table; the whole story is told at once."""
    print(f"nothing can be said: {error}", flush=True)
    return verdict.failed(named, str(error).partition("\n")[0])


def _end(process: subprocess.Popen[bytes]) -> None:
    """Have the tests clean up and end, if they have not."""
    if process.poll() is not None:
        return
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_LEAVE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _run_sql(site: Site, statements: Sequence[str]) -> None:
    if not statements:
        return
    with Postgres().connect(site) as connection:
        for statement in statements:
            try:
                connection.execute(statement.encode())
            except psycopg.Error as error:
                raise ClusterError(f"{statement}: {error}") from error


def _wait_for_replaced(site: Site) -> None:
    """Return once no pod of the platform is on its way out: until then it may still answer."""

    def none_leaves() -> bool:
        pods: Any = site.core.list_pod_for_all_namespaces(
            label_selector="app.kubernetes.io/part-of=infraforge"
        )
        return not any(pod.metadata.deletion_timestamp for pod in pods.items)

    wait_until(none_leaves, _LEAVE, what="the pods that were replaced are gone")


def _wait_for_health(platform: stack.Platform) -> None:
    def all_fine() -> bool:
        if ailing := [row.name for row in platform.status() if not row.fine]:
            raise NotYet(f"not fine: {', '.join(ailing)}")
        return True

    wait_until(
        all_fine,
        platform.profile.budgets.component,
        what="every component is fine again",
    )
