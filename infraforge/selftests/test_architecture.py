"""The rules of dependencies, read from the source: who may import whom, sleep, or do I/O."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "infraforge"

VALUES = {"errors", "history", "recorder", "verdict", "table", "outcome"}
GROUND = {"errors", "wait", "profile", "files", "locks", "processes", "interrupts", "entry"}
GROUND |= {"arguments", "places", "progress", "reading", "folders"}
MAKERS = GROUND | {"images", "cluster"}
STACK = MAKERS | {"components"}
ACTORS = STACK | VALUES | {"stack", "probes", "workloads", "faults", "checkers"}
EVERYTHING = {path.stem for path in PACKAGE.glob("*.py")} | {
    path.parent.name for path in PACKAGE.glob("*/__init__.py")
}

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "unforeseen": {"errors"},
    "entry": {"errors", "unforeseen"},
    "arguments": {"errors"},
    "wait": {"errors"},
    "files": set(),
    "locks": set(),
    "processes": set(),
    "interrupts": set(),
    "turns": {"locks"},
    "raised": {"folders"},
    "starvation": set(),
    "places": {"errors"},
    "folders": {"places"},
    "progress": set(),
    "runs": {"errors", "locks"},
    "reading": {"errors"},
    "profile": {"errors", "reading"},
    "required": {"errors", "files", "profile", "folders"},
    "npm": GROUND | {"images"},
    "outcome": VALUES,
    "history": VALUES,
    "recorder": VALUES,
    "verdict": VALUES,
    "table": VALUES,
    "checkers": VALUES,
    "images": GROUND | {"images"},
    "cluster": MAKERS,
    "components": STACK,
    "stages": {"progress"},
    "note": MAKERS,
    "stack": STACK | {"stack", "stages", "note"},
    "brought": STACK | {"stack", "stages", "note"},
    "environment": MAKERS,
    "probes": ACTORS - {"faults", "workloads"},
    "workloads": (ACTORS - {"faults"}) | {"npm"},
    "faults": ACTORS - {"checkers"},
    "evidence": ACTORS - {"faults"},
    "report": ACTORS | {"evidence", "npm", "places", "runs"},
}
"""Part → parts it may import; what is not here is at the top and may import everything."""


def parts() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE)
        part = place.parts[0].removesuffix(".py")
        if part not in ("selftests", "__init__"):
            yield part, path


def imported(path: Path) -> set[str]:
    """Parts of infraforge, and other modules, that a file imports."""
    modules: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            modules |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return modules


def test_dependencies_point_one_way() -> None:
    wrong = []
    for part, path in parts():
        allowed = MAY_IMPORT.get(part, EVERYTHING) | {part}
        for name in imported(path):
            pieces = name.split(".")
            if pieces[0] == "infraforge" and len(pieces) > 1 and pieces[1] in EVERYTHING - allowed:
                wrong.append(f"{path.relative_to(ROOT)} imports {pieces[1]}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_every_package_is_in_the_table_of_layers_or_at_the_top() -> None:
    top = {"bench", "certificates", "cli", "doctor", "healing", "plugin", "render"}
    top |= {"running", "recording", "commands", "ending", "sabotage", "session", "fixtures"}
    top |= {"noting", "listing", "judging", "trial", "promotion", "demo"}
    found = {part for part, _ in parts()}
    assert found <= set(MAY_IMPORT) | top, found - set(MAY_IMPORT) - top


def test_checkers_and_values_do_no_io() -> None:
    outside = {"os", "socket", "subprocess", "requests", "kubernetes", "pathlib", "threading"}
    for part, path in parts():
        if part in {"checkers", "verdict", "table", "outcome"}:
            assert not outside & {name.split(".")[0] for name in imported(path)}, path


def calls(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func)


def harness_and_suites() -> list[Path]:
    return [
        *(path for _, path in parts()),
        *sorted((ROOT / "suites").rglob("*.py")),
        *sorted((ROOT / "chaos").rglob("*.py")),
    ]


def test_only_wait_sleeps() -> None:
    for path in harness_and_suites():
        if path.name != "wait.py":
            assert not {"time.sleep", "sleep"} & set(calls(path)), path


def test_no_locust_in_this_process() -> None:
    for path in harness_and_suites():
        assert "locust" not in {name.split(".")[0] for name in imported(path)}, path


def test_nothing_imports_locust_which_patches_the_process() -> None:
    """What loads the platform by locust is a program of its own, which imports nothing of ours."""
    every = [path for path in tracked() if path.suffix == ".py"]
    assert Path(__file__) in every
    for path in every:
        names = {name.split(".")[0] for name in imported(path)}
        assert not {"locust", "infraforge"} <= names, path
        assert path.is_relative_to(ROOT / "load") or "locust" not in names, path


def test_platform_is_data() -> None:
    """A package or a collected test there would hide the standard library's `platform`."""
    tree = ROOT / "platform"
    assert not (tree / "__init__.py").exists()
    assert not [*tree.rglob("test_*.py"), *tree.rglob("conftest.py")]


KNOW_THEIR_PACKAGE = {"images/debian.py", "report/harness.py"}
"""Files that go up from their own place for the package itself, not for what lies beside it."""


def test_only_folders_knows_where_the_repository_is() -> None:
    """In an installed wheel the folders lie elsewhere: `folders.shipped` says where."""
    up = re.compile(r"__file__\)(\.resolve\(\))?\.(parents\[|parent\.parent)")
    beside = re.compile(r"(__file__\)\.parent|TREE\.parent|ROOT) / \"(platform|suites|reports)\"")
    wrong = []
    for _, path in parts():
        name, text = str(path.relative_to(PACKAGE)), path.read_text()
        if name == "folders.py" or name in KNOW_THEIR_PACKAGE:
            continue
        wrong += [f"{name}: {found[0]}" for found in (*up.finditer(text), *beside.finditer(text))]
    assert not wrong, "\n".join(wrong)


UNSAFE = (
    r"verify\s*=\s*False",
    r"ignore-certificate-errors",
    r"insecure-skip-tls",
    r"kubelet-insecure-tls",
    r"CERT_NONE",
    r"check_hostname\s*=\s*False",
    r"shell\s*=\s*True",
    r"proxy_ssl_verify\s+off",
    r"ssl_verify\s*=\s*false",
    r"sslmode=(disable|allow|prefer|require)\b",
)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("pattern", UNSAFE)
def test_nothing_switches_verification_off(pattern: str) -> None:
    """Nowhere in code, manifests or configuration; sabotages break things on purpose."""
    offences = [
        path.relative_to(ROOT)
        for path in tracked()
        if path.suffix in (".py", ".yaml", ".toml", ".conf", ".cfg", ".env", ".ini", ".js", ".vue")
        and path != Path(__file__)
        and not path.is_relative_to(ROOT / "chaos" / "sabotages")
        and re.search(pattern, path.read_text(errors="replace"))
    ]
    assert not offences


def test_no_image_is_called_latest_and_no_pod_is_privileged() -> None:
    manifests = [*(ROOT / "platform" / "components").rglob("*.yaml")]
    assert len(manifests) > 20
    for path in manifests:
        text = path.read_text()
        assert ":latest" not in text, path
        assert "privileged: true" not in text, path
        assert "hostPath" not in text, path


def test_lock_files_name_no_registry() -> None:
    locks = [
        path
        for path in tracked()
        if path.name in ("package-lock.json", "requirements.txt", ".npmrc")
    ]
    assert locks
    for path in locks:
        assert "://" not in re.sub(r'"(url|funding)": "[^"]*"', "", path.read_text()), path
