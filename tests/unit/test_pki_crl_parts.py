"""A CRL that is too large for one ConfigMap: whole again from its parts, and from those of no other."""

import json
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.x509 import ReasonFlags
from hypothesis import given, settings
from hypothesis import strategies as st

from agentid.api.names import CRL_PART_CONFIG_MAPS
from agentid.pki.crl import build_crl, read_crl
from agentid.pki.crl_parts import (
    MAX_PART_BYTES,
    MAX_PARTS,
    MIN_PART_BYTES,
    WHOLE_KEY,
    Part,
    Pieces,
    WholeCrl,
    cut,
    sha256,
)
from agentid.pki.errors import RevocationListError
from agentid.pki.revocation import RevokedEntry
from agentid.pki.revocation_list import LIFETIME, MAX_ENTRIES
from tests.unit.test_pki_crl import AUTHORITY, NOW, RENEWED, entry, issue, verified

DAY = timedelta(days=1)
FORTY_THOUSAND = tuple(entry(f"{secrets.randbits(127) | 1 << 126:x}") for _ in range(40_000))


def crl(entries: Sequence[RevokedEntry], number: int = 1) -> bytes:
    return build_crl(AUTHORITY, entries, number=number, now=NOW, next_update=NOW + LIFETIME)


def pieces_of(der: bytes, entries: Sequence[RevokedEntry]) -> Pieces:
    return cut(der, [each.number for each in entries])


def published(
    der: bytes, entries: Sequence[RevokedEntry], number: int = 1
) -> tuple[WholeCrl, dict[str, bytes]]:
    """What is said of it, and its parts by name."""
    pieces = pieces_of(der, entries)
    parts = dict(zip(CRL_PART_CONFIG_MAPS, pieces.parts, strict=False))
    named = tuple(Part(name=name, sha256=sha256(each)) for name, each in parts.items())
    return WholeCrl(number, len(entries), sha256(der), pieces.begin, named, pieces.end), parts


def test_openssl_takes_the_whole_of_forty_thousand_as_it_was_signed(tmp_path: Path) -> None:
    ended, running = issue(), issue()
    entries = (*FORTY_THOUSAND, entry(ended.serial))
    whole, parts = published(crl(entries), entries)

    again = whole.put_together(parts)

    accepted, said = verified(tmp_path, ended, again)
    assert not accepted
    assert "certificate revoked" in said
    assert verified(tmp_path, running, again) == (True, "chain.pem: OK\n")
    assert len(read_crl(again, AUTHORITY, longest_life=DAY).entries) == 40_001


def test_the_next_one_has_nearly_all_parts_of_this_one() -> None:
    now = pieces_of(crl(FORTY_THOUSAND), FORTY_THOUSAND).parts
    more = (*FORTY_THOUSAND[100:], *(entry() for _ in range(100)))
    after = pieces_of(crl(more, number=2), more).parts

    assert len(now) >= 4
    # Where some are gone, and where some came.
    assert len(set(after) - set(now)) <= 3
    assert len(set(after) & set(now)) >= len(now) - 3


def test_another_issuer_has_the_same_parts() -> None:
    assert RENEWED.previous is not None
    former = build_crl(RENEWED.previous, FORTY_THOUSAND, number=7, now=NOW, next_update=NOW + LIFETIME)
    now = build_crl(RENEWED, FORTY_THOUSAND, number=7, now=NOW, next_update=NOW + LIFETIME)

    assert pieces_of(former, FORTY_THOUSAND).parts == pieces_of(now, FORTY_THOUSAND).parts


@pytest.mark.parametrize(
    "serial",
    [lambda n: 2**158 + n * 2048, lambda n: 2**158 + 2 * n + 1, lambda _: secrets.randbits(158) | 2**157],
)
def test_as_many_as_are_published_have_no_more_parts_than_there_is_room_for_twice(
    serial: Callable[[int], int],
) -> None:
    # As long as a serial number can be, and of a time that takes the longer form.
    late = datetime(2050, 1, 1, tzinfo=UTC)
    entries = [
        RevokedEntry(f"{serial(number):x}", late, late, ReasonFlags.key_compromise)
        for number in range(MAX_ENTRIES)
    ]

    parts = pieces_of(crl(entries), entries).parts

    assert len(parts) <= MAX_PARTS
    assert len(CRL_PART_CONFIG_MAPS) == 2 * MAX_PARTS
    assert max(map(len, parts)) <= MAX_PART_BYTES
    assert min(map(len, parts[:-1])) >= MIN_PART_BYTES


@settings(deadline=None)
@given(st.lists(st.integers(1, 2**158), min_size=1, max_size=30, unique=True))
def test_pieces_are_the_crl_whatever_its_numbers_are(serials: list[int]) -> None:
    der = crl([entry(f"{each:x}") for each in serials])
    pieces = cut(der, serials)

    assert b"".join((pieces.begin, *pieces.parts, pieces.end)) == der


def test_what_is_said_of_it_is_read_as_it_was_written() -> None:
    whole, _ = published(crl(FORTY_THOUSAND), FORTY_THOUSAND, number=77)

    assert WholeCrl.read(whole.data(), whole.binary()) == whole
    assert WholeCrl.read({"number": "77"}, {}) is None


def test_parts_of_two_are_never_put_together() -> None:
    whole, parts = published(crl(FORTY_THOUSAND), FORTY_THOUSAND)
    others = (*FORTY_THOUSAND[1:], entry())
    other, parts_of_other = published(crl(others, number=2), others, number=2)

    for name in parts:
        if parts[name] != parts_of_other.get(name, b""):
            with pytest.raises(RevocationListError, match="holds a part of another CRL"):
                whole.put_together(parts | {name: parts_of_other.get(name, b"")})
        with pytest.raises(RevocationListError, match=f"ConfigMap {name} .* is missing"):
            whole.put_together({each: parts[each] for each in parts if each != name})
    # Begin and end of one, and parts of the other: each as it should be, and together none of both.
    with pytest.raises(RevocationListError, match="do not make the whole one"):
        replace(other, parts=whole.parts).put_together(parts)


@pytest.mark.parametrize(
    "change",
    [
        {"number": 0},
        {"number": "1"},
        {"number": 2**63},
        {"entries": -1},
        {"sha256": "A" * 64},
        {"sha256": "a" * 64 + "\n"},
        {"parts": None},
        {"parts": [{"name": "agentid-sinks", "sha256": "a" * 64}]},
        {"parts": [{"name": "agentid-crl-part-28", "sha256": "a" * 64}]},
        {"parts": [{"name": "agentid-crl-part-1", "sha256": ""}]},
        {"parts": [{"name": "agentid-crl-part-1", "sha256": "a" * 64}] * (MAX_PARTS + 1)},
    ],
)
def test_what_cannot_be_said_of_parts_is_refused(change: dict[str, Any]) -> None:
    said = {"number": 1, "entries": 2, "sha256": "a" * 64, "parts": []}
    assert WholeCrl.read({WHOLE_KEY: json.dumps(said)}, {}) is not None

    with pytest.raises(RevocationListError):
        WholeCrl.read({WHOLE_KEY: json.dumps(said | change)}, {})


@given(st.text(max_size=60))
def test_no_text_is_taken_for_parts(text: str) -> None:
    with pytest.raises(RevocationListError):
        WholeCrl.read({WHOLE_KEY: text}, {})
