"""The Merkle tree is RFC 6962's: reference vectors, and any path proves its entry and nothing else."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.ledger.merkle import hash_from_path, inclusion_path, tree_hash

# The vectors of Certificate Transparency's reference implementation.
ENTRIES = [
    bytes.fromhex(each)
    for each in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
HASHES = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 1): [],
    (0, 8): [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ],
    (5, 8): [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ],
    (2, 3): ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"],
    (1, 5): [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ],
}


def of_the_rfc(entries: list[bytes]) -> bytes:
    """RFC 6962 §2.1 as it is written there: cut at the largest power of two below the number of entries."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    cut = 1 << ((len(entries) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + of_the_rfc(entries[:cut]) + of_the_rfc(entries[cut:])).digest()


@pytest.mark.parametrize("count", range(9))
def test_the_hash_is_the_reference_implementations(count: int) -> None:
    assert tree_hash(ENTRIES[:count]).hex() == HASHES[count]


@pytest.mark.parametrize(("index", "count"), PATHS)
def test_the_path_is_the_reference_implementations(index: int, count: int) -> None:
    assert [each.hex() for each in inclusion_path(ENTRIES[:count], index)] == PATHS[index, count]


ANY_ENTRIES = st.lists(st.binary(max_size=8), max_size=70)


@given(ANY_ENTRIES)
def test_the_hash_is_what_the_rfc_says(entries: list[bytes]) -> None:
    assert tree_hash(entries) == of_the_rfc(entries)


@given(ANY_ENTRIES.filter(len), st.data())
def test_the_path_of_each_entry_leads_to_the_hash(entries: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    path = inclusion_path(entries, index)

    assert hash_from_path(entries[index], index, len(entries), path) == tree_hash(entries)
    assert len(path) <= max(len(entries) - 1, 0).bit_length()


@given(ANY_ENTRIES.filter(len), st.data())
def test_no_other_entry_index_or_path_leads_there(entries: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(entries) - 1))
    count, path, root = len(entries), inclusion_path(entries, index), tree_hash(entries)

    assert hash_from_path(entries[index] + b"!", index, count, path) != root
    assert hash_from_path(entries[index], index, count, [*path, bytes(32)]) is None
    assert hash_from_path(entries[index], -1, count, path) is None
    assert hash_from_path(entries[index], count, count, path) is None
    if path:
        assert hash_from_path(entries[index], index, count, path[:-1]) is None
        at = data.draw(st.integers(0, len(path) - 1))
        bent = [*path[:at], bytes(32), *path[at + 1 :]]
        assert hash_from_path(entries[index], index, count, bent) != root
    other = data.draw(st.integers(0, count - 1))
    if entries[other] != entries[index]:
        assert hash_from_path(entries[other], index, count, path) != root


def test_an_inner_node_is_no_entry() -> None:
    inner = hashlib.sha256(b"\x00" + b"a").digest() + hashlib.sha256(b"\x00" + b"b").digest()

    assert tree_hash([inner]) != tree_hash([b"a", b"b"])


@pytest.mark.parametrize("index", [-1, 3])
def test_there_is_no_path_of_an_entry_that_is_not_there(index: int) -> None:
    with pytest.raises(IndexError, match=f"no entry {index} of 3"):
        inclusion_path(ENTRIES[:3], index)
