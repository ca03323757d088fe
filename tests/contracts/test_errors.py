from __future__ import annotations

import pickle

import pytest

from hallmark.contracts.errors import Fault, GateRefused, HallmarkError, InputError, MachineError


def test_message_and_remedy_stay_apart() -> None:
    error = InputError("a; b is 2", remedy="give 1; or 3")
    assert (error.message, error.remedies, error.remedy) == ("a; b is 2", ("give 1; or 3",), "give 1; or 3")
    assert str(error) == "a; b is 2; give 1; or 3"
    assert HallmarkError("alone").remedies == ()


def test_several_remedies_are_kept_each_once() -> None:
    error = GateRefused("refused", remedy=["one", "two", "one", ""])
    assert error.remedies == ("one", "two")
    assert str(error) == "refused; one; two"


def test_errors_travel_between_processes_with_their_fields() -> None:
    for error in (MachineError("m", remedy=["a", "b"]), InputError.of([Fault("x", "y"), Fault("z")], head="f has ")):
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert (str(copy), copy.message, copy.remedies) == (str(error), error.message, error.remedies)


def test_a_fault_takes_the_name_and_the_line_of_whoever_knows_them() -> None:
    fault = Fault("lr is 2, above 1", "give 1", field="lr").renamed(lambda field: f"train.{field}")
    fault = fault.at("params.yaml, line 3")
    assert str(fault) == "params.yaml, line 3: train.lr is 2, above 1; give 1"
    assert (fault.field, fault.advice) == ("train.lr", "train.lr is 2, above 1; give 1")
    assert str(Fault("no image").renamed(str.upper).at("line 3")) == "line 3: no image"
    with pytest.raises(AssertionError):
        Fault("is 2", field="lr")


def test_an_error_is_renamed_in_place() -> None:
    for faults in ([Fault("a is 1", "x", "a")], [Fault("a is 1", "x", "a"), Fault("none", "y")]):
        error = InputError.of(faults, head="f has ")
        before = error.remedies
        error.rename(lambda field: f"train.{field}")
        assert "train.a is 1; x" in str(error)
        assert "train.a is 1" in error.message
        assert error.remedies == before
        assert error.faults[0].field == "train.a"
    assert str(error) == "f has 2 faults:\n  train.a is 1; x\n  none; y"
    plain = GateRefused("refused", remedy=["p", "q"], story={"n": 1})
    plain.rename(lambda field: f"train.{field}")
    assert (str(plain), plain.message, plain.remedies, plain.story) == (
        "refused; p; q",
        "refused",
        ("p", "q"),
        {"n": 1},
    )


def test_a_single_fault_keeps_its_text() -> None:
    error = InputError.of([Fault("x is 1", "give 2")], head="f has ")
    assert str(error) == "x is 1; give 2"
    assert error.exit_code == 2
