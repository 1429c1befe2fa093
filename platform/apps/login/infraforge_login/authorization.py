"""The authorization request (RFC 6749 4.1.1, RFC 7636) and the parameters it may have."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_REQUIRED = ("client_id", "redirect_uri", "response_type", "scope", "state", "code_challenge",
             "code_challenge_method")  # fmt: skip
_OPTIONAL = ("nonce",)
_LONGEST = 1024


class Refused(Exception):
    """This page does not answer the request; the text says why, for a person."""


@dataclass(frozen=True)
class Authorization:
    """The parameters to pass on to Vault, without any others that were sent."""

    parameters: Mapping[str, str]

    @classmethod
    def parse(
        cls, sent: Mapping[str, Sequence[str]], client_id: str, redirect_uri: str
    ) -> Authorization:
        """The request, if it comes from the one registered client and is complete.

        sent: parameter → all its values. Raises Refused.
        """
        found = {}
        for name in (*_REQUIRED, *_OPTIONAL):
            values = sent.get(name, ())
            if len(values) > 1:
                raise Refused(f"“{name}” was sent more than once")
            value = values[0] if values else ""
            if len(value) > _LONGEST or any(ord(char) < 32 for char in value):
                raise Refused(f"“{name}” is not acceptable")
            if value:
                found[name] = value
            elif name in _REQUIRED:
                raise Refused(f"“{name}” is missing")
        if found["client_id"] != client_id or found["redirect_uri"] != redirect_uri:
            raise Refused("the application that asks is not registered here")
        if found["response_type"] != "code" or found["code_challenge_method"] != "S256":
            raise Refused("this kind of sign-in is not offered")
        if "openid" not in found["scope"].split():
            raise Refused("“openid” is not in the scope")
        return cls(found)

    @property
    def query(self) -> str:
        """The parameters as a query string, always in the same order."""
        return urllib.parse.urlencode(sorted(self.parameters.items()))

    def answer(self, code: str, state: str) -> str:
        """The address that the browser takes the code to."""
        query = urllib.parse.urlencode({"code": code, "state": state})
        return f"{self.parameters['redirect_uri']}?{query}"
