"""Secret randomness: a key from the operating system, and streams of a cipher that it indexes.

A run draws one 256-bit key. Each stream has a name (purpose, step, tensor); keyed BLAKE2b turns key and name into the
stream's own ChaCha20 key, whose key stream is the random bytes. A run that resumes replays the same batches and noise
from the key alone, and so releases nothing new. A new run draws a new key.

Bernoulli draws with a rational probability are exact. Gaussian noise is computed in float64 by the Box-Muller transform
from 53-bit uniforms. The theory assumes real numbers, and floating point leaves uncovered that

- not every float64 can come out, so that the low bits of a noisy sum may tell which sums were possible (Mironov 2012);
- the largest possible value is 8.66 standard deviations, which leaves out a mass of 5e-18 a coordinate;
- sums and products round: clipping keeps a margin for that, the rest is of relative size 1e-7 in float32 networks;
- the time that a computation takes may depend on the data.

>>> key = Key.fixed(0)
>>> key.stream("noise", 3, 0).normal(2).round(3).tolist() == key.stream("noise", 3, 0).normal(2).round(3).tolist()
True
>>> key
Key(secret=False)
"""

from __future__ import annotations

import hashlib
import math
import os
import secrets
import stat
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from hallmark.contracts.errors import InputError, MachineError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

BYTES = 32
_WORD = 2**64


@dataclass(frozen=True)
class Key:
    """A 256-bit key; ``secret`` is False for one made from a known seed, whose noise protects nothing.

    Its bytes are in no repr, so that no log or traceback shows them by accident.
    """

    material: bytes = field(repr=False)
    secret: bool = True

    def __post_init__(self) -> None:
        assert len(self.material) == BYTES, len(self.material)

    @classmethod
    def fresh(cls) -> Key:
        """A new key from the operating system."""
        return cls(secrets.token_bytes(BYTES))

    @classmethod
    def fixed(cls, seed: int) -> Key:
        """A key from a known seed: reproducible, and not private."""
        return cls(hashlib.blake2b(f"fixed seed {seed}".encode(), digest_size=BYTES).digest(), secret=False)

    def stream(self, purpose: str, *index: int) -> Stream:
        """The stream of one use, from its beginning; ``index`` is a step and a tensor, for instance."""
        return Stream(self.derived(purpose, *index))

    def derived(self, purpose: str, *index: int) -> bytes:
        """32 bytes that belong to one use of the key."""
        name = "\x1f".join([purpose, *map(str, index)])
        return hashlib.blake2b(name.encode(), key=self.material, digest_size=BYTES).digest()


class Stream:
    """Random values from one ChaCha20 key stream, in order."""

    def __init__(self, key: bytes) -> None:
        # a key of its own for each stream: the nonce may be 0
        self._cipher = Cipher(algorithms.ChaCha20(key, bytes(16)), mode=None).encryptor()

    def words(self, count: int) -> NDArray[np.uint64]:
        """``count`` uniform 64-bit words."""
        return np.frombuffer(self._cipher.update(bytes(8 * count)), dtype="<u8").astype(np.uint64, copy=False)

    def uniform(self, count: int) -> Floats:
        """``count`` multiples of 2**-53, shifted by half of that into (0, 1)."""
        return np.asarray(((self.words(count) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)

    def normal(self, count: int) -> Floats:
        """``count`` standard normal values, by the Box-Muller transform."""
        pairs = (count + 1) // 2
        radius = np.sqrt(-2 * np.log(self.uniform(pairs)))
        angle = 2 * math.pi * self.uniform(pairs)
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]

    def bernoulli(self, count: int, probability: Fraction) -> NDArray[np.bool_]:
        """``count`` draws that are True with exactly this probability."""
        assert 0 <= probability <= 1, probability
        if probability in (0, 1):
            return np.full(count, probability == 1)
        threshold, rest = divmod(probability.numerator * _WORD, probability.denominator)
        words = self.words(count)
        drawn = words < np.uint64(threshold)
        # a word equal to the threshold leaves open which side it is on: its further digits decide
        for tie in np.flatnonzero(words == np.uint64(threshold)):
            drawn[tie] = self.bernoulli(1, Fraction(rest, probability.denominator))[0]
        return np.asarray(drawn)


def write(key: Key, path: Path) -> None:
    """Writes the key into a new file that only its owner can read. Raises FileExistsError if there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # whatever the umask
        os.write(descriptor, key.material + (b"\1" if key.secret else b"\0"))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> Key:
    """The key of a file. Raises InputError if it is no key, MachineError if others than its owner may open it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        content = os.read(descriptor, BYTES + 2)
    finally:
        os.close(descriptor)
    if mode & 0o077:
        raise MachineError(
            f"{path.name} holds a secret key, but has mode {mode:03o}, so that others may have read it",
            remedy="delete it and start a new private run",
        )
    if len(content) != BYTES + 1:
        raise InputError(f"{path.name} holds no key", remedy="delete it and start a new private run")
    return Key(content[:BYTES], secret=content[BYTES:] == b"\1")


def destroy(path: Path) -> None:
    """Overwrites and removes a key's file, if there is one.

    File systems that journal or copy on write, and flash memory, may keep the old bytes: the caller says so.
    """
    if not path.exists():
        return
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.flush()
        os.fsync(file.fileno())
    path.unlink()
