"""What is sent to the API server: Secrets, Events, and the merge of a status."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentid.cluster.events import Event, task_reference
from agentid.cluster.secrets import Owner, SecretManifest, Version
from agentid.cluster.tasks import merge_from

_OWNERS = (Owner("agentid.dev/v1alpha1", "AgentTask", "t", "u-1"), Owner("v1", "Pod", "p", "u-2"))


def _manifest(task_uid: str = "u-1") -> SecretManifest:
    return SecretManifest("ns", "agentid-t", task_uid, _OWNERS, {"tls.key": b"", "tls.crt": b"x"})


def test_a_secret_has_two_owners_its_label_and_can_always_be_emptied() -> None:
    body = _manifest().body()
    assert body["type"] == "kubernetes.io/tls"
    assert body["metadata"]["labels"]["agentid.dev/task-uid"] == "u-1"
    assert [(owner["kind"], owner["uid"]) for owner in body["metadata"]["ownerReferences"]] == [
        ("AgentTask", "u-1"),
        ("Pod", "u-2"),
    ]
    assert body["data"] == {"tls.key": "", "tls.crt": "eA=="}
    assert "immutable" not in body
    assert "finalizers" not in body["metadata"]


def test_a_secret_of_nobody_remembered_carries_no_label_of_a_task() -> None:
    assert "agentid.dev/task-uid" not in _manifest("").body()["metadata"]["labels"]


def test_a_replacement_is_conditioned_on_uid_and_version() -> None:
    metadata = _manifest().body(Version("s-1", "42"))["metadata"]
    assert (metadata["uid"], metadata["resourceVersion"]) == ("s-1", "42")
    assert "uid" not in _manifest().body()["metadata"]


def _note_of(text: str) -> str:
    event = Event(
        time=datetime(2026, 5, 31, 14, tzinfo=UTC),
        regarding=task_reference("ns", "t" * 253, "u-1"),
        related=None,
        reason="CredentialIssued",
        action="Issue",
        warning=False,
        note=text,
    )
    body = event.body("operator-1")
    assert len(body["metadata"]["name"]) <= 253
    note = body["note"]
    assert isinstance(note, str)
    return note


@pytest.mark.parametrize("text", ["", "short", "é" * 512, "x" * 1024])
def test_a_note_that_fits_is_sent_as_it_is(text: str) -> None:
    assert _note_of(text) == text


@given(st.text(min_size=300, max_size=3000))
def test_a_note_is_at_most_a_kilobyte_whatever_it_holds(text: str) -> None:
    assert len(_note_of(text.encode(errors="ignore").decode()).encode()) <= 1024


_JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(), st.text(max_size=20)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
_OBJECTS = st.dictionaries(st.text(max_size=4), _JSON, max_size=5)


@given(old=_OBJECTS, new=_OBJECTS)
def test_merging_leaves_exactly_the_new_status(old: dict[str, object], new: dict[str, object]) -> None:
    assert _merged(old, merge_from(old, new)) == new


def _merged(target: object, patch: object) -> object:
    """Apply a JSON merge patch (RFC 7386 §2)."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result
