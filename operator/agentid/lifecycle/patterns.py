"""What an action that is listed with a star at its end stands for."""

from collections.abc import Iterable


def covers(pattern: str, action: str) -> bool:
    """Whether `pattern` of a ceiling allows `action`; `orders:*` allows all that start with `orders:`."""
    return action.startswith(pattern[:-1]) if pattern.endswith(":*") else action == pattern


def covered(patterns: Iterable[str], action: str) -> bool:
    """Whether one of `patterns` allows `action`."""
    return any(covers(pattern, action) for pattern in patterns)
