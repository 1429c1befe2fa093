"""What a project has beside its code: licence, changelog, hooks. They agree with the rest of it."""

from __future__ import annotations

import configparser
import re
import tomllib

import yaml

from infraforge.selftests.pages import ROOT


def test_the_licence_is_the_one_that_is_declared() -> None:
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])


def test_the_changelog_knows_this_version() -> None:
    titles = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert titles[0] == "Unreleased"
    assert version in titles


def test_hooks_run_the_checks_of_tox() -> None:
    tox = configparser.ConfigParser()
    tox.read(ROOT / "tox.ini")
    lint = tox["testenv:lint"]["commands"].split("\n")
    selftests = tox["testenv:selftest"]["commands"].replace("{posargs}", "").strip()
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [one["repo"] for one in config["repos"]] == ["local"]
    hooks = {hook["entry"]: hook for hook in config["repos"][0]["hooks"]}
    assert {*filter(None, lint), selftests} <= set(hooks)
    assert all(hook["language"] == "system" for hook in hooks.values())
    paths = [word for entry in hooks for word in entry.split() if word.endswith(".py")]
    assert paths
    assert all((ROOT / path).is_file() for path in paths)
