"""Histories: recording, pairing, joining, and the text kept as evidence."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infraforge.history import NEMESIS, History, Kind, Operation
from infraforge.recorder import Recorder
from infraforge.selftests.histories import history

FAULTED = history("""
    a       invoke write x "one"
    nemesis invoke kill  - "pg-0"
    nemesis ok     kill  - "pg-0 does not answer"
    a       info   write x "one"
    b       invoke read  x
    b       ok     read  x [1,"one"]
    nemesis invoke heal
""")


def test_completions_belong_to_their_process_open_invocation() -> None:
    write, kill, read, heal = FAULTED.calls
    assert (write.outcome, write.start, write.end) == (Kind.INFO, 0, None)
    assert (kill.ok, kill.start, kill.end) == (True, 1, 2)
    assert read.value == (1, "one")
    assert heal.outcome is Kind.INFO
    assert FAULTED.faults == (kill,)
    assert FAULTED.of("read", "kill") == (read,)


def test_only_what_is_over_precedes() -> None:
    write, kill, read, heal = FAULTED.calls
    assert kill.precedes(read)
    assert not write.precedes(read)
    assert not read.precedes(kill)
    assert read.precedes(heal)


def test_a_process_that_goes_on_leaves_its_last_operation_unknown() -> None:
    first, second = history("a invoke add - 1\na invoke add - 2\na ok add - 2").calls
    assert (first.outcome, second.outcome) == (Kind.INFO, Kind.OK)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a ok write x 1", "nothing was invoked"),
        ("a invoke write x 1\na ok read x 1", "completes another operation"),
        ("a invoke write x 1\na ok write y 1", "completes another operation"),
        ("a invoke write x 1\na ok write x 1\na ok write x 1", "nothing was invoked"),
    ],
)
def test_what_is_not_well_formed_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        history(text)


def test_a_clock_that_runs_back_is_refused() -> None:
    late = Operation("a", Kind.INVOKE, "read", None, None, 5)
    early = Operation("b", Kind.INVOKE, "read", None, None, 4)
    with pytest.raises(ValueError, match="runs back"):
        History((late, early))
    assert [operation.time for operation in History((late,)) + History((early,))] == [4, 5]


@pytest.mark.parametrize("value", [{"a": 1}, b"x", {1}])
def test_values_are_json_without_objects(value: object) -> None:
    with pytest.raises(TypeError, match="JSON without objects"):
        Recorder().invoke("a", "write", value=value)


def test_the_kept_text_brings_the_history_back() -> None:
    kept = FAULTED.to_lines()
    assert History.from_lines(kept) == FAULTED
    assert History.from_lines(kept).digest == FAULTED.digest
    assert History.from_lines(History().to_lines()) == History()
    with pytest.raises(ValueError, match="line 2 is no operation"):
        History.from_lines(kept.splitlines()[0] + "\n{}\n")


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text()
        | st.floats(allow_nan=False, allow_infinity=False),
        lambda inner: st.lists(inner, max_size=3),
        max_leaves=5,
    )
)
def test_every_value_survives_the_kept_text(value: object) -> None:
    before = History((Operation("ä\n", Kind.INVOKE, "write", None, value, 0),))  # type: ignore[arg-type]
    assert History.from_lines(before.to_lines()) == before


def test_windows_show_what_is_around_the_marked_operation() -> None:
    marked = FAULTED.operations[4]
    text = FAULTED.text([marked], around=1).splitlines()
    assert text[0] == "  …"
    assert [line.startswith(">") for line in text] == [False, False, True, False, False]
    assert len(FAULTED.text().splitlines()) == len(FAULTED)


def test_many_threads_record_one_order() -> None:
    recorder = Recorder()

    def work(name: str) -> None:
        for number in range(50):
            recorder.invoke(name, "add", value=number).ok(number)

    threads = [threading.Thread(target=work, args=(f"w{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    recorded = recorder.history
    assert len(recorded.of("add")) == 200
    assert all(call.ok for call in recorded.calls)


def test_a_process_does_one_operation_at_a_time_and_completes_it_once() -> None:
    recorder = Recorder()
    pending = recorder.invoke("a", "read")
    with pytest.raises(ValueError, match="one at a time"):
        recorder.invoke("a", "read")
    pending.ok(1)
    with pytest.raises(ValueError, match="completed twice"):
        pending.fail()


def test_a_block_says_what_its_exceptions_mean() -> None:
    recorder = Recorder()

    def attempt(error: Exception | None) -> None:
        with recorder.call("a", "write", "x", 1, fail=(KeyError,), info=(OSError,)) as pending:
            if error:
                raise error
            pending.ok((1, 1))

    attempt(None)
    attempt(KeyError("no"))
    attempt(OSError("gone"))
    with pytest.raises(ZeroDivisionError):
        attempt(ZeroDivisionError())
    with recorder.call("a", "write", "x", 1):
        pass
    outcomes = [str(call.outcome) for call in recorder.history.calls]
    assert outcomes == ["ok", "fail", "info", "info", "info"]
    assert "left without an answer" in str(recorder.history.operations[-1])


def test_faults_stand_in_the_same_history() -> None:
    recorder = Recorder()
    with recorder.call(NEMESIS, "kill", value="pg-0") as fault:
        fault.ok("pg-0 is gone")
    assert [call.function for call in recorder.history.faults] == ["kill"]
    assert recorder.history.clients == ()


def test_calls_of_several_functions_come_in_the_order_of_their_invocation() -> None:
    """Each function's calls are found once for all checkers; together they keep their order."""
    operations = []
    for at, function in enumerate(("write", "add", "read", "add", "write", "add")):
        for kind in (Kind.INVOKE, Kind.OK):
            operations.append(Operation(f"c{at}", kind, function, None, at, at))
    seen = History(tuple(operations))
    assert [call.value for call in seen.of("write", "add")] == [0, 1, 3, 4, 5]
    assert seen.of("add", "write", "add") == seen.of("write", "add")
    assert seen.of("add") == tuple(call for call in seen.clients if call.function == "add")
    assert seen.of() == seen.of("delete") == ()
