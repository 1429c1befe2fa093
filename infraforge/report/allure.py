"""Run the pinned Allure from npm."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from infraforge import npm
from infraforge.errors import InfraForgeError
from infraforge.evidence import SHIPPED

_GENERATE_SECONDS = 600
_APP = '<div id="app">'
_LINK = (
    '<p style="margin:0;padding:8px 16px;font:14px/20px system-ui,sans-serif;'
    'background:#fff;color:#222"><a href="controls.html" style="color:#0b57d0">Controls</a>: '
    "which requirement of which framework these tests assess</p>\n    "
)
_TRACKING = re.compile(
    r"<script async src=\"[^\"]*gtag[^\"]*\"></script>\s*<script>.*?</script>", re.DOTALL
)


class ReportFailed(InfraForgeError):
    """Allure made no report; names the command and its last lines."""


def render(
    results: Path, out: Path, title: str, history: Path | None = None, *, append: bool = True
) -> Path:
    """Render `results` as one HTML file in the folder `out`; returns the file.

    history: file in which Allure keeps past runs, for trends; append: add this run to it.
    """
    program = npm.installed(SHIPPED, "allure") / "allure" / "cli.js"
    options = {"reportName": title, "singleFile": True, "reportLanguage": "en"}
    settings: dict[str, object] = {
        "name": title,
        "plugins": {"awesome": {"options": options}},
        "categories": json.loads((SHIPPED / "categories.json").read_text()),
    }
    if history:
        settings |= {"historyPath": str(history.resolve()), "appendHistory": append}
    with tempfile.TemporaryDirectory(prefix="infraforge-report-") as work:
        config = Path(work) / "allurerc.json"
        config.write_text(json.dumps(settings))
        made = Path(work) / "out"
        command = ["node", str(program), "generate", "--config", str(config), "--output", str(made)]
        said = npm.run(
            [*command, str(results.resolve())], Path(work), _GENERATE_SECONDS, ReportFailed
        )
        pages = sorted(made.rglob("index.html"), key=lambda page: len(page.parts))
        if not pages:
            raise ReportFailed(f"Allure wrote no page; its output ends:\n{said[-2000:]}")
        page = out / "index.html"
        page.write_text(with_controls(without_tracking(pages[0].read_text())))
    return page


def with_controls(page: str) -> str:
    """The page with a link to `controls.html`, which lies beside it, above Allure's own page.

    Allure offers links for its header (`ci`, `executor`), but drops each that is not absolute, and
    a report's folder has no address of its own. Raises ReportFailed where there is no place for it.
    """
    if page.count(_APP) != 1:
        raise ReportFailed("Allure's page has no place for a link; see report/allure.py")
    return page.replace(_APP, _LINK + _APP)


def without_tracking(page: str) -> str:
    """The page without Allure's visitor counter: evidence must not report its readers.

    Raises ReportFailed where part of it is left.
    """
    page = _TRACKING.sub("", page)
    head = page[: page.find("</head>")]
    if "googletagmanager" in head or "gtag(" in head:
        raise ReportFailed(
            "Allure's page still counts its visitors; adapt without_tracking in report/allure.py"
        )
    return page
