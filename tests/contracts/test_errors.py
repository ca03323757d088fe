from __future__ import annotations

import pickle

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


def test_one_fault_is_told_as_itself() -> None:
    error = InputError.of([Fault("x is 1", "give 2")], head="f has ")
    assert str(error) == "x is 1; give 2"
    assert error.exit_code == 2
