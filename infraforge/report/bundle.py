"""A bundle: a run's index, results, histories and report in one sealed, signed file.

    run/index.json           what ran, each result, and the evidence it rests on
    run/allure-results/...   results and attachments, histories and verdicts among them
    run/timings.json
    report/...               Allure's page, the controls
    controls.toml            the crosswalk behind the controls page
    signer.pub               the public half of the signing key
    MANIFEST.sha256          a digest of each of these
    attestation.json         a signed in-toto statement about the manifest and the run

`verify.py` checks all of it. The signature proves who made a bundle only to somebody who has the
signer's public key, or the bundle's own SHA-256, from another source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from infraforge import files
from infraforge.errors import UsageError
from infraforge.places import MARKER, refuse_foreign_file
from infraforge.report import container, signing
from infraforge.report.index import Index
from infraforge.runs import INDEX, RESULTS, TIMINGS, Run

MANIFEST = "MANIFEST.sha256"
ATTESTATION = "attestation.json"
SIGNER = "signer.pub"
CROSSWALK = "controls.toml"
RUN_INDEX = f"run/{INDEX}"
CONTROLS_JSON = "report/controls.json"
CONTROLS_HTML = "report/controls.html"
UNSIGNED = (MANIFEST, ATTESTATION)
"""Members that the manifest does not list."""


def refuse_foreign(path: Path) -> None:
    """Raise UsageError where `path` exists and is not a bundle."""
    refuse_foreign_file(path, "a bundle", container.is_one)


def pack(run: Run, report: Path, crosswalk: Path, target: Path, signer: signing.Signer) -> str:
    """Write the run and its report to the bundle `target`; returns the file's SHA-256.

    Raises UsageError where the results are gone, or are too large for a bundle.
    """
    refuse_foreign(target)
    text = run.index.read_bytes()
    index = Index.from_json(text)
    members = {RUN_INDEX: text, **_files(f"run/{RESULTS}", results_of(run, index))}
    if run.timings.exists():
        members[f"run/{TIMINGS}"] = run.timings.read_bytes()
    members |= _files("report", report)
    members.pop(f"report/{MARKER}", None)
    members[CROSSWALK] = crosswalk.read_bytes()
    members[SIGNER] = signing.pem(signer.public)
    written = manifest(members)
    said = signing.statement(index, written, configuration(members))
    members |= {MANIFEST: written, ATTESTATION: signing.seal(said, signer.key)}
    target.parent.mkdir(parents=True, exist_ok=True)
    with files.aside(target) as aside:
        return container.write(aside, members)


def results_of(run: Run, index: Index) -> Path:
    """The folder of the run's results. Raises UsageError where they are gone."""
    place = Path(index.results) if index.results else run.results
    if not place.is_dir():
        raise UsageError(
            f"the results of run {run.id} are gone: there is no {place}; "
            f"to list runs: infraforge report --list"
        )
    return place


def manifest(members: Mapping[str, bytes]) -> bytes:
    """A line for each member, in the format that `sha256sum` writes and checks."""
    lines = (f"{sha256(data)}  {name}\n" for name, data in sorted(members.items()))
    return "".join(lines).encode()


def configuration(members: Mapping[str, bytes]) -> dict[str, str]:
    """The run's configuration, as the statement names it: name → SHA-256."""
    return {name: sha256(members[name]) for name in (RUN_INDEX, CROSSWALK)}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _files(prefix: str, folder: Path) -> dict[str, bytes]:
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
