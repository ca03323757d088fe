"""Checks record the field, the message and the remedy as data; whoever gathers them adds the section."""

from __future__ import annotations

import math

import pytest

from hallmark.contracts import require
from hallmark.contracts.errors import InputError


def test_a_check_raises_with_its_own_field() -> None:
    with pytest.raises(InputError, match=r"^rate is 1\.5, outside \[0, 1\]; give a value in that range$") as caught:
        require.in_range(0, 1, rate=1.5)
    (fault,) = caught.value.faults
    assert (fault.field, fault.message) == ("rate", "rate is 1.5, outside [0, 1]")
    assert fault.remedy == "give a value in that range"


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_check_of_numbers_passes_what_is_not_finite(bad: float) -> None:
    with require.gathered() as faults:
        require.in_range(-math.inf, math.inf, a=bad)
        require.positive(b=bad)
        require.at_least(-math.inf, c=bad)
    assert [fault.field for fault in faults] == ["a", "b", "c"]


def test_bounds_belong_to_the_range() -> None:
    require.in_range(0, 1, low=0, high=1)
    require.at_least(2, least=2)
    with pytest.raises(InputError, match=r"^zero is 0, but must be above 0"):
        require.positive(zero=0)


def test_words_and_none_pass_and_lists_and_sections_are_checked_value_by_value() -> None:
    with require.gathered() as faults:
        require.at_least(0, a=None, b="auto", c=[1, -1], d={"cat": {"dog": -2, "cow": 3}})
        require.one_of(("x", "y"), e=["x", "yy"])
    assert [fault.field for fault in faults] == ["c[1]", "d.cat.dog", "e[1]"]
    assert faults[2].remedy == "did you mean 'y'? choose one of: x, y"


def test_sections_are_put_before_fields_gathered_and_raised() -> None:
    with require.gathered() as faults:
        require.that(False, "is wrong", remedy="mend it", field="first")
        with require.within("model"):
            require.that(False, "is wrong", remedy="mend it", field="second")
        require.that(False, "nothing has a field", remedy="mend it")
    assert [fault.field for fault in faults] == ["first", "model.second", ""]
    assert [fault.message for fault in faults] == ["first is wrong", "model.second is wrong", "nothing has a field"]
    with pytest.raises(InputError, match=r"^model\.depth is empty"), require.within("model"):
        require.not_blank("name it", depth=" ")


def test_an_error_that_ends_the_block_is_one_of_its_faults() -> None:
    def check() -> None:
        require.positive(a=0)
        raise InputError("c does not grow", remedy="leave it out")

    with require.gathered() as faults:
        check()
    assert [str(fault) for fault in faults] == [
        "a is 0, but must be above 0; give a positive value",
        "c does not grow; leave it out",
    ]


def test_several_faults_are_refused_at_once() -> None:
    with require.gathered() as faults:
        require.positive(a=0, b=-1)
    with pytest.raises(InputError, match=r"^file has 2 faults:\n  a is 0.*\n  b is -1"):
        require.refuse(faults, head="file has ")
    require.refuse([])
