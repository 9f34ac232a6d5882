"""The hash that spreads flows over members: Bob Jenkins's, as the kernel computes it.

Source: linux/jhash.h (``jhash``) and net/netfilter/nft_hash.c: what is hashed is the registers that a concatenation
fills, each field padded with zeros to four bytes; the hash is scaled to the number of members by multiplication.
"""

from __future__ import annotations

import sys

SEED = 0x706F6476
"""What the hash begins with, in every rule."""
_START = 0xDEADBEEF
_MASK = 0xFFFFFFFF


def member_index(fields: bytes, members: int, seed: int = SEED) -> int:
    """The place of the member that a flow goes to.

    Args:
        fields: what is hashed of it, each field padded to four bytes; a multiple of four bytes.
        members: how many there are, at least 1.
        seed: what the hash begins with.
    """
    return (flow_hash(fields, seed) * members) >> 32


def flow_hash(fields: bytes, seed: int = SEED) -> int:
    """The 32-bit hash of ``fields``."""
    words = [int.from_bytes(fields[start : start + 4], sys.byteorder) for start in range(0, len(fields), 4)]
    a = b = c = (_START + len(fields) + seed) & _MASK
    while len(words) > 3:
        a, b, c = _mix((a + words[0]) & _MASK, (b + words[1]) & _MASK, (c + words[2]) & _MASK)
        words = words[3:]
    if not words:
        return c
    rest = [*words, 0, 0][:3]
    return _final((a + rest[0]) & _MASK, (b + rest[1]) & _MASK, (c + rest[2]) & _MASK)


def _rotated(value: int, by: int) -> int:
    return ((value << by) | (value >> (32 - by))) & _MASK


def _mix(a: int, b: int, c: int) -> tuple[int, int, int]:
    a = ((a - c) & _MASK) ^ _rotated(c, 4)
    c = (c + b) & _MASK
    b = ((b - a) & _MASK) ^ _rotated(a, 6)
    a = (a + c) & _MASK
    c = ((c - b) & _MASK) ^ _rotated(b, 8)
    b = (b + a) & _MASK
    a = ((a - c) & _MASK) ^ _rotated(c, 16)
    c = (c + b) & _MASK
    b = ((b - a) & _MASK) ^ _rotated(a, 19)
    a = (a + c) & _MASK
    c = ((c - b) & _MASK) ^ _rotated(b, 4)
    b = (b + a) & _MASK
    return a, b, c


def _final(a: int, b: int, c: int) -> int:
    c = ((c ^ b) - _rotated(b, 14)) & _MASK
    a = ((a ^ c) - _rotated(c, 11)) & _MASK
    b = ((b ^ a) - _rotated(a, 25)) & _MASK
    c = ((c ^ b) - _rotated(b, 16)) & _MASK
    a = ((a ^ c) - _rotated(c, 4)) & _MASK
    b = ((b ^ a) - _rotated(a, 14)) & _MASK
    return ((c ^ b) - _rotated(b, 24)) & _MASK
