"""The command line for a newcomer: wrong input, readable output, failing API servers."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from infraforge import arguments, commands, profile, stack
from infraforge.cli import main
from infraforge.cluster import state
from infraforge.errors import UsageError
from infraforge.note import Brought, Note
from infraforge.profile import Ports
from infraforge.sabotage import case
from infraforge.sabotage.command import CASES

ROOT = Path(__file__).parents[2]
PASSWORD = "not-in-any-log"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folders of the test's own, for state and cache; no container runtime is used."""
    monkeypatch.setenv("INFRAFORGE_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("INFRAFORGE_CACHE", str(tmp_path / "cache"))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "docker").write_text("#!/bin/sh\nexit 0\n")
    (programs / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return tmp_path


BAD = [
    ([], "required: COMMAND"),
    (["nosuch"], "invalid choice: 'nosuch'"),
    (["up", "--profile", "nosuch"], "there are: minimal"),
    (["up", "--profile", ""], "there are: minimal"),
    (["up", "--profile", "../images/images"], "there are: minimal"),
    (["up", "--profile", "minimal", "--renew-certificates", "nosuch"], "it has: "),
    (["up", "--profile", "minimal", "--by-hand"], "--by-hand goes with --cluster existing"),
    (["up", "--profile", "minimal", "--http-port", "1"], "--http-port goes with"),
    (["up", "--cluster", "nosuch"], "invalid choice"),
    (["up", "--http-port", "0"], "'0' is not a port from 1 to 65535"),
    (["up", "--http-port", "70000"], "is not a port"),
    (["up", "--http-port", "abc"], "is not a port"),
    (["up", "--http-port", "٣"], "is not a port"),
    (["up", "--origin", "nonsense"], "is not https://HOST"),
    (["up", "--origin", "http://127.0.0.1"], "is not https://HOST"),
    (["up", "--origin", "https://127.0.0.1:99999"], "is not https://HOST"),
    (["up", "--origin", "https://me:secret@host"], "is not https://HOST"),
    (["up", "--origin", "https://host/path?x"], "is not https://HOST"),
    (["up", "--registry", "https://host/x"], "is not HOST[:PORT][/PATH]"),
    (["up", "--registry", "host/x:tag"], "is not HOST[:PORT][/PATH]"),
    (["up", "--registry", "../x"], "is not HOST[:PORT][/PATH]"),
    (["up", "--kubeconfig", "/nosuch"], "there is no such file"),
    (["up", "--kubeconfig", "/dev"], "that is not a file"),
    (["up", "--kubeconfig", ""], "there is no such file"),
    (["up", "--cluster", "existing", "--profile", "minimal"], "existing needs --kubeconfig"),
    (["down", "--forget"], "--forget is for a cluster you brought"),
    (["status"], "infraforge up"),
    (["heal"], "infraforge up"),
    (["env"], "infraforge up"),
    (["password"], "required: USER"),
    (["password", "ada"], "infraforge up"),
    (["password", "nobody"], "there are: ada, devon, vera"),
    (["password", ""], "there are: ada, devon, vera"),
    (["completion"], "required: shell"),
    (["completion", "cmd"], "invalid choice: 'cmd'"),
    (["certificates", "frob"], "invalid choice: 'frob'"),
    (["certificates", "renew", "x", "--ca"], "name none"),
    (["images"], "required: COMMAND"),
    (["images", "list", "nosuch"], "there is no image 'nosuch'"),
    (["images", "build", "nosuch"], "there is no image 'nosuch'"),
    (["images", "sbom"], "required: NAME"),
    (["images", "sbom", "nosuch"], "there is no image 'nosuch'"),
    (["images", "sbom", "redis", "--out", "/dev/null"], "that is not a folder"),
    (["images", "list", "--profile", "nosuch"], "there is no profile 'nosuch'"),
    (["images", "export", "/nosuch/file"], "there is no folder '/nosuch'"),
    (["images", "export", "/dev"], "that exists and is not a file"),
    (["images", "import", "/nosuch"], "there is no such file"),
    (["images", "import", "/dev/null", "--registry", "HTTP://X"], "that is not a file"),
    (["render"], "required: --profile"),
    (["render", "--profile", "minimal", "--to", "/dev/null"], "that is not a folder"),
    (["test"], "say which profile to test: infraforge test --profile minimal"),
    (["test", "--profile", "nosuch"], "there is no profile 'nosuch'"),
    (["test", "--profile", "minimal", "--sabotages", "-1"], "'-1' is not a number from 0"),
    (["test", "--profile", "minimal", "--sabotages", "two"], "'two' is not a number from 0"),
    (["test", "--profile", "minimal", "--name", ""], "cluster name ''"),
    (["sabotage", "nosuch"], "there is no sabotage 'nosuch'"),
    (["sabotage", "--rotate", "-1"], "is not a number from 1"),
    (["sabotage", "--all", "--name", "Big"], "cluster name 'Big'"),
    (["bench", "nosuch"], "invalid choice: 'nosuch'"),
    (["bench", "reads", "--json", "/nosuch/x"], "there is no folder"),
    (["verify"], "required: BUNDLE"),
    (["verify", "/nosuch"], "there is no /nosuch; make a bundle: infraforge report"),
]
BAD_NAMES = ["", "Big", "../../etc", "a" * 40, "1st", "a b", "a\n", "-x", "ä", "\udcff"]
NAMED = [["up"], ["status"], ["down"], ["heal"], ["env"], ["password", "ada"]]
NAMED += [["certificates", "status"], ["sabotage", "--all"], ["test", "--profile", "minimal"]]


@pytest.mark.parametrize(("argv", "told"), BAD, ids=[" ".join(argv) for argv, _ in BAD])
def test_bad_input_is_one_line_and_64(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    argv: list[str],
    told: str,
) -> None:
    monkeypatch.setattr("infraforge.evidence.REPORTS", place / "reports")
    assert ended(argv) == 64
    said = capsys.readouterr().err
    assert told in said
    assert len(said.strip().splitlines()) == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("command", NAMED, ids=[" ".join(one) for one in NAMED])
def test_a_name_that_is_none_is_refused_by_every_command(
    capsys: pytest.CaptureFixture[str], command: list[str], name: str
) -> None:
    """An empty one, too: `down --name "$UNSET"` must not remove the default platform."""
    assert ended([*command, f"--name={name}"]) == 64
    assert "cluster name" in capsys.readouterr().err


def ended(argv: list[str]) -> int:
    """The exit code of the command, however it ends."""
    try:
        return main(argv)
    except SystemExit as error:
        return int(error.code or 0)


@pytest.mark.parametrize("text", ["registry.example", "127.0.0.1:5001/a/b-c", "ghcr.io/tca-x"])
def test_a_registry_is_taken(text: str) -> None:
    assert arguments.registry(text) == text


@pytest.mark.parametrize("text", ["https://a.example", "https://a:8443", "https://[::1]:8443"])
def test_an_origin_is_taken(text: str) -> None:
    assert arguments.origin(f"{text}/") == text


@pytest.mark.parametrize(
    "chosen",
    [
        {"INFRAFORGE_HTTPS_PORT": text}
        for text in ("abc", "0", "70000", "-1", "٣", "1e3", " 8443", "8443.0")
    ]
    + [{"INFRAFORGE_HTTPS_PORT": "8080"}, {"INFRAFORGE_HTTP_PORT": "8443"}],
)
def test_ports_that_are_none_or_the_same_are_refused(chosen: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="INFRAFORGE_HTTP"):
        Ports.chosen(Ports(), chosen)


def test_the_registrys_port_is_not_the_front_doors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFRAFORGE_HTTPS_PORT", "5001")
    with pytest.raises(UsageError, match="is the local registry's"):
        stack.stand_up("mine", profile.Profile.load("minimal", stack.TREE))


@pytest.mark.parametrize("where", ["INFRAFORGE_STATE", "INFRAFORGE_CACHE"])
@pytest.mark.parametrize("below", ["", "further/down"])
def test_a_folder_that_cannot_be_is_the_machines(
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    where: str,
    below: str,
) -> None:
    (place / "file").write_text("")
    monkeypatch.setenv(where, str(place / "file" / below))
    command = ["down"] if where == "INFRAFORGE_STATE" else ["images", "list"]
    assert main(command) == 64
    said = capsys.readouterr().err
    assert str(place / "file") in said
    assert "a file is where a folder should be" in said


def test_a_user_without_a_home_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("INFRAFORGE_STATE")
    monkeypatch.setattr(Path, "home", no_home)
    assert main(["list"]) == 64
    assert "INFRAFORGE_STATE" in capsys.readouterr().err


DAMAGED = ["", "{", "[]", "null", '{"profile": "minimal"}', '{"ports": 5}', "\udcff"]


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_note_is_told_with_its_path(
    capsys: pytest.CaptureFixture[str], text: str
) -> None:
    path = state.cluster_dir("mine") / "stack.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    for command in (["status"], ["down"], ["env"]):
        assert main([*command, "--name", "mine"]) == 2
        said = capsys.readouterr().err
        assert str(path) in said
        assert "Traceback" not in said
    assert path.exists()
    assert main(["list"]) == 0
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        *("[components", "components = 5", "tests = 5", "tests.required = 'x'", "extends = []"),
        *("deployable = 'no'", "machine.cores = 'two'", "machine = 5", "\udcff"),
        *("components.redis = 1", "components.redis.replicas = 0", "extends = 'nosuch'"),
        *("extends = 'base'\ntests.required = 5", "machine.memory_gib = 'much'"),
    ],
)
def test_a_damaged_profile_is_told_with_its_path(place: Path, text: str) -> None:
    folder = place / "profiles"
    folder.mkdir()
    (folder / "base.toml").write_text("machine.memory_gib = 4.0\ncomponents.redis.replicas = 1")
    path = folder / "odd.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=r"odd\.toml"):
        profile.Profile.load("odd", place)


class _Api(http.server.BaseHTTPRequestHandler):
    """As much of an API server as `status` and `password` ask. how: what it does with pods."""

    how = "fine"
    uid = "uid-1"

    def do_GET(self) -> None:
        if self.path.startswith("/api/v1/namespaces/kube-system"):
            self._answer(200, {"metadata": {"name": "kube-system", "uid": self.uid}})
        elif self.path.endswith("/secrets/platform-users"):
            data = {"ada": base64.b64encode(PASSWORD.encode()).decode()}
            self._answer(200, {"metadata": {"name": "platform-users"}, "data": data})
        elif self.how == "503":
            self._answer(503, {"kind": "Status", "code": 503})
        elif self.how == "hangs":
            self.server.gone.wait(30)  # type: ignore[attr-defined]
        elif self.how == "garbage":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>" * 10)
        elif self.how == "cut":
            self.wfile.write(b"HTTP/1.1 200")
        else:
            self._answer(200, {"items": []})

    def _answer(self, status: int, body: object) -> None:
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def brought(name: str, how: str = "fine", uid: str = "uid-1") -> Iterator[None]:
    """A platform on somebody's cluster, known here, whose API server does `how`."""
    handler = type("Api", (_Api,), {"how": how, "uid": uid})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.gone = threading.Event()  # type: ignore[attr-defined]
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    folder = state.cluster_dir(name)
    folder.mkdir(parents=True)
    named = {"cluster": "c", "user": "u"}
    (folder / "kubeconfig").write_text(
        yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "mine",
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "mine", "context": named}],
            }
        )
    )
    known = Brought("uid-1", "mine", url)
    Note("minimal", Ports(), "https://10.0.0.1:30443", {}, {}, True, brought=known).write(name)
    try:
        yield
    finally:
        server.gone.set()  # type: ignore[attr-defined]
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("503", "the API server answered 503"),
        ("hangs", "does not answer"),
        ("garbage", "nothing can be said"),
        ("cut", "nothing can be said"),
    ],
)
def test_status_says_unknown_where_the_api_server_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], how: str, told: str
) -> None:
    """Python's 1 would say that a property is broken."""
    monkeypatch.setattr(stack.platform, "_STATUS", 1)
    with brought("mine", how):
        began = time.monotonic()
        assert main(["status", "--name", "mine"]) == 2
        assert time.monotonic() - began < 20
    said = capsys.readouterr().err
    assert told in said
    assert "Traceback" not in said


def test_the_password_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    with brought("mine"):
        assert main(["password", "ada", "--name", "mine"]) == 0
    said = capsys.readouterr()
    assert (said.out, said.err) == (f"{PASSWORD}\n", "")


def test_a_user_without_a_password_is_no_answer(capsys: pytest.CaptureFixture[str]) -> None:
    with brought("mine"):
        assert main(["password", "vera", "--name", "mine"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "no password of 'vera'" in said.err


def test_env_can_be_evaluated(capsys: pytest.CaptureFixture[str]) -> None:
    with brought("mine"):
        assert main(["env", "--name", "mine"]) == 0
        text = capsys.readouterr().out
        assert main(["env", "--name", "mine", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    shown = subprocess.run(
        ["bash", "-euc", f'{text}\nprintf "%s\\n" "$KUBECONFIG" "$INFRAFORGE_ORIGIN"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert shown == [values["KUBECONFIG"], "https://10.0.0.1:30443"]
    assert Path(values["KUBECONFIG"]).exists()
    assert Path(values["INFRAFORGE_CA"]).exists()
    assert set(values) >= {"INFRAFORGE_KUBECTL", "INFRAFORGE_KIND"}
    assert values["INFRAFORGE_KIND"] is None  # not built here, and so not named
    assert "INFRAFORGE_KIND=" not in text


def test_env_quotes_what_a_shell_would_read(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = place / "a $(touch pwned) 'b"
    monkeypatch.setenv("INFRAFORGE_STATE", str(odd))
    with brought("mine"):
        main(["env", "--name", "mine"])
    line = capsys.readouterr().out.splitlines()[0]
    assert shlex.split(line) == ["export", f"KUBECONFIG={odd}/clusters/mine/kubeconfig"]


def test_list_gives_each_of_three_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with brought("answering"), brought("replaced", uid="uid-2"):
        with brought("silent"):
            pass
        Note("standard", Ports(), "https://127.0.0.1:8443", {}, {}, True).write("gone")
        assert main(["list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {name: row["state"] for name, row in rows.items()} == {
        "answering": "answers",
        "replaced": "absent",
        "silent": "silent",
        "gone": "absent",
    }
    assert rows["gone"]["profile"] == "standard"
    assert rows["gone"]["where"] == "KIND gone"
    assert rows["answering"]["where"].startswith("mine at http://127.0.0.1:")
    assert rows["answering"]["trouble"] == ""
    assert all(row["trouble"] for name, row in rows.items() if name != "answering")
    assert all(row["since"].startswith("20") for row in rows.values())


def test_list_of_nothing_is_empty(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(["--version"]) == 0
    assert capsys.readouterr().out == f"infraforge {commands.version()}\n"
    assert f'version = "{commands.version()}"' in (ROOT / "pyproject.toml").read_text()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_profiles_and_sabotages(
    capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    words = ("password", "devon", "--renew-certificates", "minimal-ldap")
    for word in (*words, case.names(CASES)[0]):
        assert word.removeprefix("--") in script


def test_bash_completes_a_profile(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["completion", "bash"])
    (place / "script").write_text(capsys.readouterr().out)
    words = "COMP_WORDS=(infraforge up --profile mini); COMP_CWORD=3"
    done = subprocess.run(
        [
            "bash",
            "-c",
            f"source {place / 'script'}; {words}; _shtab_infraforge; echo ${{COMPREPLY[@]}}",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["minimal", "minimal-ldap"]
