"""What setuptools cannot be told in pyproject.toml: the wheel's copy of the folders of data.

platform/, suites/, chaos/ and reports/ stay where they are in the repository and become
`infraforge/_data/…` in a wheel (see infraforge/folders.py). None of them is ever a top-level
package: an importable `platform` would hide the standard library's module.
"""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
FOLDERS = ("platform", "suites", "chaos")
FILES = (
    "conftest.py",
    "pyproject.toml",
    "reports/categories.json",
    "reports/controls.toml",
    "reports/package.json",
    "reports/package-lock.json",
)
"""Beside the package in a checkout: what pytest, the report and `--version` read there."""

LEFT_OUT = ("__pycache__", "*.pyc", "node_modules", "dist", ".pytest_cache", ".*.part", ".*.swp")
"""What tools leave behind in these folders; git ignores it, too."""


class BuildWithData(build_py):
    """Python files as always, then the data; an editable install reads the checkout instead."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        data = Path(self.build_lib) / "infraforge" / "_data"
        shutil.rmtree(data, ignore_errors=True)  # what an earlier build left in build/
        for name in FOLDERS:
            shutil.copytree(HERE / name, data / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for name in FILES:
            (data / name).parent.mkdir(exist_ok=True)
            shutil.copy2(HERE / name, data / name)


setup(cmdclass={"build_py": BuildWithData})
