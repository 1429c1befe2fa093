"""A bundle: a run's index, results, histories and report in one sealed, signed file.

    run/index.json           what ran, what it said, what that rests on
    run/allure-results/...   results and attachments, histories and verdicts among them
    run/timings.json
    report/...               Allure's page, the controls
    controls.toml            the crosswalk that the page of controls was made with
    signer.pub               the public half of the key that signed
    MANIFEST.sha256          a digest of each of these
    attestation.json         an in-toto statement about the manifest and the run, signed

`verify.py` checks all of it. The signature tells who made a bundle only to somebody who has that
one's public key, or the bundle's own SHA-256, from elsewhere.
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
"""What no line of the manifest is about."""


def refuse_foreign(path: Path) -> None:
    """Raise UsageError where something is in the way that is no bundle."""
    refuse_foreign_file(path, "a bundle", container.is_one)


def pack(run: Run, report: Path, crosswalk: Path, target: Path, signer: signing.Signer) -> str:
    """Everything of the run and its report, in `target`; the SHA-256 of the file.

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
    """Where the run's results are. Raises UsageError where they are gone."""
    place = Path(index.results) if index.results else run.results
    if not place.is_dir():
        raise UsageError(f"the results of run {run.id} are gone: there is no {place}")
    return place


def manifest(members: Mapping[str, bytes]) -> bytes:
    """A line for each member, as `sha256sum` writes and checks them."""
    lines = (f"{sha256(data)}  {name}\n" for name, data in sorted(members.items()))
    return "".join(lines).encode()


def configuration(members: Mapping[str, bytes]) -> dict[str, str]:
    """What the statement names as the run's configuration: name → SHA-256."""
    return {name: sha256(members[name]) for name in (RUN_INDEX, CROSSWALK)}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _files(prefix: str, folder: Path) -> dict[str, bytes]:
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }
