"""Test an API against its own OpenAPI description (schemathesis).

Requests are random, from a seed: some that the description allows, and some that it does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import hypothesis
import schemathesis
from schemathesis.checks import CHECKS, not_a_server_error
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode

from infraforge.errors import Inconclusive

_CHECKS = (
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
)
_SETTINGS = hypothesis.settings(
    deadline=None,
    database=None,
    # failures are reported as they are: shrinking them would send hundreds of requests more
    phases=(hypothesis.Phase.generate,),
    suppress_health_check=tuple(hypothesis.HealthCheck),
)


@dataclass(frozen=True)
class Asked:
    """The result. statuses: operation → status → count; complaints: wrong answers, in words."""

    seed: int
    statuses: Mapping[str, Mapping[int, int]]
    complaints: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"seed {self.seed}"]
        lines += [f"{name}: {dict(counted)}" for name, counted in self.statuses.items()]
        return "\n".join([*lines, *self.complaints])


def ask(
    description: Mapping[str, Any],
    send: Callable[[Any], Any],
    *,
    seed: int,
    examples: int,
    methods: Collection[str] = ("GET",),
    known: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> Asked:
    """Call each operation of these methods `examples` times each way, up to its first wrong answer.

    send: sends a schemathesis case with the caller's credentials, and returns its response.
    known: path parameter → existing values, which chance would not find.
    """
    schemathesis.checks.load_all_checks()
    checks = [not_a_server_error, *CHECKS.get_by_names(_CHECKS)]
    statuses: dict[str, Counter[int]] = {}
    complaints: list[str] = []
    for operation in _operations(description, methods):
        one = _judged(send, statuses.setdefault(operation.label, Counter()), checks)
        for strategy in _ways(operation, known):
            run = hypothesis.seed(seed)(hypothesis.given(strategy)(one))  # type: ignore[no-untyped-call]
            run = hypothesis.settings(_SETTINGS, max_examples=examples)(run)
            try:
                run()
            except (FailureGroup, Failure) as error:
                complaints.append(f"{operation.label}: {_words(error)}")
    return Asked(
        seed, {name: dict(counted) for name, counted in statuses.items()}, tuple(complaints)
    )


def _judged(
    send: Callable[[Any], Any], counted: Counter[int], checks: list[Any]
) -> Callable[[Any], None]:
    def one(case: Any) -> None:
        response = send(case)
        counted[response.status_code] += 1
        case.validate_response(response, checks=checks)

    return one


def _operations(description: Mapping[str, Any], methods: Collection[str]) -> Iterator[Any]:
    # the sender adds credentials: a random session would only ever be refused
    about = {key: value for key, value in description.items() if key != "security"}
    schema = schemathesis.openapi.from_dict(about)
    for result in schema.get_all_operations():
        if not isinstance(result, Ok):
            raise Inconclusive(f"the description cannot be read: {result.err()}")
        operation = result.ok()
        if operation.method.upper() in methods:
            yield operation


def _ways(operation: Any, known: Mapping[str, Sequence[str]]) -> Iterator[Any]:
    yield operation.as_strategy(GenerationMode.POSITIVE)
    for parameter in operation.path_parameters:
        for value in known.get(parameter.name, ()):
            yield operation.as_strategy(
                GenerationMode.POSITIVE, path_parameters={parameter.name: value}
            )
    if any(True for _ in operation.iter_parameters()) or operation.body:
        yield operation.as_strategy(GenerationMode.NEGATIVE)


def _words(error: BaseException) -> str:
    if isinstance(error, FailureGroup):
        return "; ".join(_words(one) for one in error.exceptions)
    return f"{getattr(error, 'title', type(error).__name__)}: {error}"[:1500]
