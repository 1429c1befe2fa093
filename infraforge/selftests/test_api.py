"""The public API: few names, imported when they are used; checkers that stand alone."""

from __future__ import annotations

import doctest
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import infraforge

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "checkers"
CHECKERS = sorted(
    path.stem
    for path in (ROOT / "infraforge" / "checkers").glob("*.py")
    if not path.stem.startswith("_")
)
_BLOCK = re.compile(r"^```python\n(>>> .*?)^```$", re.MULTILINE | re.DOTALL)
_LOADED = """\
import json, sys
before = set(sys.modules)
{statement}
print(json.dumps(sorted({{name.partition(".")[0] for name in set(sys.modules) - before}})))
"""


def loaded(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter loads for this, beside the standard library's."""
    argv = [sys.executable, "-c", _LOADED.format(statement=statement)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout)) - set(sys.stdlib_module_names)


def test_the_api_is_at_most_twenty_names_that_are_all_there() -> None:
    assert len(infraforge.__all__) == len(set(infraforge.__all__)) <= 20
    for name in infraforge.__all__:
        assert getattr(infraforge, name) is not None
        assert name in dir(infraforge)
        assert re.search(rf"\b{name}\b", infraforge.__doc__ or ""), f"{name} is not explained"


def test_what_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing_of_the_kind'"):
        _ = infraforge.nothing_of_the_kind


@pytest.mark.parametrize(
    "statement",
    [
        "import infraforge",
        "import infraforge.checkers",
        "from infraforge import History, Recorder, Table, Verdict, check, checkers, control, merge",
        "from infraforge import Broken, Deadline, Inconclusive, wait_until, wait_until_stable",
    ],
)
def test_judging_loads_nothing_but_the_standard_library(statement: str) -> None:
    assert loaded(statement) == {"infraforge"}


def test_the_check_above_would_see_what_is_loaded() -> None:
    assert {"kubernetes", "urllib3"} <= loaded("from infraforge import Fault")


@pytest.mark.parametrize("name", CHECKERS)
def test_each_checker_has_a_page_with_its_source_and_an_example_that_is_so(name: str) -> None:
    page = PAGES / f"{name}.md"
    assert page.is_file(), f"write {page.relative_to(ROOT)}: what it judges, its source, an example"
    text = page.read_text(encoding="utf-8")
    assert "## Source" in text
    assert "## Example" in text
    runner, names = doctest.DocTestRunner(verbose=False), dict[str, object]()
    for number, block in enumerate(_BLOCK.findall(text), 1):  # later blocks know earlier names
        example = doctest.DocTestParser().get_doctest(
            block, names, f"{name}-{number}", str(page), 0
        )
        runner.run(example, clear_globs=False)
        names = example.globs
    assert runner.tries >= 2
    assert runner.failures == 0


def test_the_index_of_checkers_links_every_page() -> None:
    text = (PAGES / "README.md").read_text(encoding="utf-8")
    assert [name for name in CHECKERS if f"({name}.md)" not in text] == []
