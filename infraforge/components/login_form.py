"""The form on the login page, as a browser would read it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser


@dataclass(frozen=True)
class Form:
    """The login form: where it is sent, and its hidden fields."""

    action: str
    hidden: Mapping[str, str] = field(repr=False)

    @classmethod
    def parse(cls, page: str) -> Form | None:
        """The form that asks for a password; None where the page has none."""
        reader = _Reader()
        reader.feed(page)
        return cls(reader.action, reader.hidden) if reader.asks_for_password else None


class _Reader(HTMLParser):
    """Collects the form that has a password field; our pages have at most one."""

    def __init__(self) -> None:
        super().__init__()
        self.action = ""
        self.hidden: dict[str, str] = {}
        self.asks_for_password = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = values.get("action", "")
        elif tag == "input" and values.get("type") == "hidden":
            self.hidden[values.get("name", "")] = values.get("value", "")
        elif tag == "input" and values.get("type") == "password":
            self.asks_for_password = True
