"""The Merkle tree of RFC 6962 §2.1: its hash over entries, and the path that proves one of them.

A tree of one level after the other, in which a node without a neighbour moves up as it is, is the tree that
the RFC cuts at the largest power of two.
"""

import hashlib
from collections.abc import Sequence
from typing import Final

_LEAF: Final = b"\x00"
_NODE: Final = b"\x01"


def tree_hash(entries: Sequence[bytes]) -> bytes:
    """Return the hash (32 bytes) of the tree over `entries` (RFC 6962 §2.1)."""
    level = [_leaf_hash(entry) for entry in entries]
    if not level:
        return hashlib.sha256().digest()
    while len(level) > 1:
        level = _level_above(level)
    return level[0]


def inclusion_path(entries: Sequence[bytes], index: int) -> list[bytes]:
    """Return the hashes, from the lowest up, that lead from entry `index` to the tree's (RFC 6962 §2.1.1).

    Raises:
        IndexError: there is no such entry.
    """
    if not 0 <= index < len(entries):
        raise IndexError(f"there is no entry {index} of {len(entries)}")
    level = [_leaf_hash(entry) for entry in entries]
    path = []
    while len(level) > 1:
        neighbour = index ^ 1
        if neighbour < len(level):
            path.append(level[neighbour])
        level = _level_above(level)
        index //= 2
    return path


def hash_from_path(entry: bytes, index: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """Return the hash of the tree of `count` entries that has `entry` at `index`, as `path` says.

    None: no tree of that size has such a path (RFC 9162 §2.1.3.2).
    """
    if not 0 <= index < count:
        return None
    found, last, steps = _leaf_hash(entry), count - 1, iter(path)
    while last > 0:
        if index % 2 == 1 or index < last:
            step = next(steps, None)
            if step is None:
                return None
            found = _node_hash(step, found) if index % 2 == 1 else _node_hash(found, step)
        index, last = index // 2, last // 2
    return None if next(steps, None) is not None else found


def _leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(_LEAF + entry).digest()


def _node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(_NODE + left + right).digest()


def _level_above(level: list[bytes]) -> list[bytes]:
    pairs = [_node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
    return [*pairs, level[-1]] if len(level) % 2 else pairs
