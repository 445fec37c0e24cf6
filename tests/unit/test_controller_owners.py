"""Whoever made a pod named its owners: such a name leads nowhere else and keeps nothing from its end."""

from typing import Any

import pytest

from agentid.cluster.errors import ForbiddenError, ServerError
from agentid.cluster.paths import Resource
from agentid.controller.owners import OwnerChains
from agentid.watched.facts import OwnerReference

_JOBS = Resource("batch/v1", "Job", "jobs")


class _Reads:
    """Answers from a dictionary; an exception in it is raised."""

    def __init__(self, objects: dict[str, Any]) -> None:
        self.objects = objects
        self.asked: list[str] = []

    async def get(self, resource: Resource, namespace: str, name: str) -> dict[str, Any] | None:
        self.asked.append(resource.path(namespace, name))
        found = self.objects.get(name)
        if isinstance(found, Exception):
            raise found
        return found


def _chains(reads: _Reads) -> OwnerChains:
    return OwnerChains(reads, lambda *_: _JOBS)  # type: ignore[arg-type] - all that is used of Reads


def _owner(name: str, uid: str = "u-1") -> OwnerReference:
    return OwnerReference("batch/v1", "Job", name, uid)


@pytest.mark.parametrize(
    "name",
    [
        "../../../../../../api/v1/namespaces/ns/configmaps/mine",
        "x?watch=true",
        "..",
        ".",
        "x/status",
        "x%2e",
        "x#y",
        "X",
        "",
        "x" * 254,
    ],
)
async def test_an_owner_with_a_name_that_no_object_has_is_not_asked_for(name: str) -> None:
    reads = _Reads({})
    assert await _chains(reads).chain("ns", _owner(name)) == ("u-1",)
    assert reads.asked == []


async def test_an_owner_of_a_kind_that_no_task_may_name_does_not_count() -> None:
    """Anybody may write such a reference, with the UID of any object."""
    reads = _Reads({"j": {"metadata": {"uid": "u-1"}}})
    chains = OwnerChains(reads, lambda *_: None)  # type: ignore[arg-type] - all that is used of Reads

    assert await chains.chain("ns", _owner("j")) == ()
    assert reads.asked == []


@pytest.mark.parametrize("error", [ForbiddenError("403"), ServerError("500")])
async def test_an_owner_that_cannot_be_read_is_not_followed_and_raises_nothing(error: Exception) -> None:
    assert await _chains(_Reads({"j": error})).chain("ns", _owner("j")) == ("u-1",)


async def test_an_owner_is_followed_to_its_own() -> None:
    parent = {"apiVersion": "batch/v1", "kind": "Job", "name": "p", "uid": "u-2", "controller": True}
    reads = _Reads({"j": {"metadata": {"uid": "u-1", "ownerReferences": [parent]}}})
    assert await _chains(reads).chain("ns", _owner("j")) == ("u-1", "u-2")


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_path_never_leads_to_another_place(name: str) -> None:
    with pytest.raises(ValueError, match="can not be the name"):
        _JOBS.path("ns", name)
    assert _JOBS.path("ns", "a/b?c#d%e") == "/apis/batch/v1/namespaces/ns/jobs/a%2Fb%3Fc%23d%25e"
