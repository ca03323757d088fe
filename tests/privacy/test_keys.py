"""Keys stay secret, streams replay, and draws have the distributions that the accounting assumes."""

from __future__ import annotations

import stat
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.stats import kstest

from hallmark.contracts.errors import InputError, MachineError
from hallmark.privacy import keys
from hallmark.privacy.keys import Key, Stream

if TYPE_CHECKING:
    from pathlib import Path


def test_fresh_keys_differ_and_no_text_shows_them() -> None:
    one, other = Key.fresh(), Key.fresh()
    assert one.material != other.material
    assert one.secret
    assert repr(one) == "Key(secret=True)"
    assert one.material.hex() not in f"{one} {one!r}"
    assert not Key.fixed(0).secret


def test_each_stream_is_a_function_of_key_purpose_and_index_alone() -> None:
    key = Key.fixed(1)
    words = key.stream("noise", 3, 0).words(4)
    np.testing.assert_array_equal(words, Key.fixed(1).stream("noise", 3, 0).words(4))
    others = [key.stream("noise", 3, 1), key.stream("noise", 30), key.stream("sampling", 3, 0)]
    others += [Key.fixed(2).stream("noise", 3, 0), key.stream("noise", 0, 3)]
    for other in others:
        assert not np.isin(other.words(4), words).any()


def test_a_stream_is_chacha20_and_goes_on_where_it_was() -> None:
    # RFC 8439 has the key stream of an all-zero key and nonce: 76b8e0ada0f13d90...
    assert Stream(bytes(32)).words(1)[0] == int.from_bytes(bytes.fromhex("76b8e0ada0f13d90"), "little")
    whole, parts = Stream(bytes(32)).words(24), Stream(bytes(32))
    np.testing.assert_array_equal(whole, np.concatenate([parts.words(5), parts.words(19)]))


def test_normal_values_are_normal() -> None:
    values = Key.fixed(0).stream("test").normal(200_001)
    assert len(values) == 200_001
    assert kstest(values, "norm").pvalue > 0.01
    assert np.corrcoef(values[:100_000], values[100_001:])[0, 1] == pytest.approx(0, abs=0.01)
    assert (np.abs(values) > 3).mean() == pytest.approx(0.0027, abs=0.0005)


def test_uniform_values_avoid_both_ends() -> None:
    values = Key.fixed(0).stream("test").uniform(100_000)
    assert kstest(values, "uniform").pvalue > 0.01
    assert 0 < values.min()
    assert values.max() < 1


def test_bernoulli_draws_have_their_probability() -> None:
    stream = Key.fixed(0).stream("test")
    assert stream.bernoulli(200_000, Fraction(4096, 60000)).mean() == pytest.approx(4096 / 60000, abs=0.002)
    assert stream.bernoulli(10, Fraction(1)).all()
    assert not stream.bernoulli(10, Fraction(0)).any()


class Chosen(Stream):
    """A stream of chosen words."""

    def __init__(self, words: list[int]) -> None:
        self.chosen = list(words)

    def words(self, count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint64]]:
        taken, self.chosen = self.chosen[:count], self.chosen[count:]
        return np.array(taken, dtype=np.uint64)


def test_a_word_at_the_threshold_is_decided_by_its_further_digits() -> None:
    third = 2**64 // 3  # 1/3 = 0.010101…: the rest of each threshold is a third again
    assert Chosen([third - 1]).bernoulli(1, Fraction(1, 3))[0]
    assert not Chosen([third + 1]).bernoulli(1, Fraction(1, 3))[0]
    assert Chosen([third, third - 1]).bernoulli(1, Fraction(1, 3))[0]
    assert not Chosen([third, third, third + 1]).bernoulli(1, Fraction(1, 3))[0]


def test_a_key_file_is_its_owner_s_alone_and_is_destroyed(tmp_path: Path) -> None:
    path, key = tmp_path / "run" / "key", Key.fresh()
    keys.write(key, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert keys.read(path) == key
    with pytest.raises(FileExistsError):
        keys.write(Key.fresh(), path)
    keys.destroy(path)
    assert not path.exists()
    keys.destroy(path)
    keys.write(Key.fixed(0), path)
    assert not keys.read(path).secret


def test_destroying_overwrites_the_bytes(tmp_path: Path) -> None:
    path, key = tmp_path / "key", Key.fresh()
    keys.write(key, path)
    link = tmp_path / "link"
    link.hardlink_to(path)
    keys.destroy(path)
    assert link.read_bytes() == bytes(keys.BYTES + 1)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_that_others_may_have_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    keys.write(Key.fresh(), path)
    path.chmod(mode)
    with pytest.raises(MachineError, match=f"mode {mode:03o}, so that others may have read it"):
        keys.read(path)


def test_a_damaged_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"short")
    path.chmod(0o600)
    with pytest.raises(InputError, match="key holds no key"):
        keys.read(path)
