"""What a check may ask the API server: it reads, and sends dry runs; it changes nothing."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from agentid.cluster.connection import METADATA, Body, Connection
from agentid.cluster.errors import ApiAnswerError, ForbiddenError, NotFoundError
from agentid.cluster.paths import Resource
from agentid.cluster.watching import list_chunks
from agentid.doctor.finding import Finding, unseen

_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_AT_ONCE: Final = 8


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose rights are asked for."""

    username: str
    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """Something that RBAC may allow; no namespace: in all of them, or of an object that is in none."""

    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        """Return it in words."""
        resource, slash, part = self.resource.partition("/")
        kind = f"{resource}.{self.group}{slash}{part}" if self.group else self.resource
        name = f" {self.name}" if self.name else ""
        return f"{self.verb} {kind}{name}" + (f" in {self.namespace}" if self.namespace else "")


class Look:
    """Questions to one API server."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._gate = asyncio.Semaphore(_AT_ONCE)

    async def find(self, resource: Resource, namespace: str | None, name: str) -> Body | None:
        """Return an object, or None where there is none."""
        async with self._gate:
            try:
                return await self.connection.get(resource.path(namespace, name))
            except NotFoundError:
                return None

    async def metadata_of(self, resource: Resource, namespace: str, name: str) -> Body | None:
        """Return the metadata of an object, or None where there is none; nothing else of it travels."""
        async with self._gate:
            try:
                answer = await self.connection.get(resource.path(namespace, name), accept=METADATA)
            except NotFoundError:
                return None
        metadata: Body = answer["metadata"]
        return metadata

    async def list_metadata(self, resource: Resource, namespace: str | None, selector: str) -> list[Body]:
        """Return the metadata of all objects that a label selector fits; nothing else of them travels."""
        found = self._each(resource, namespace, selector, metadata_only=True)
        return [each["metadata"] async for each in found]

    def objects(self, resource: Resource, namespace: str | None) -> AsyncIterator[Body]:
        """Yield all objects of a kind; few of them are in memory at once."""
        return self._each(resource, namespace, "", metadata_only=False)

    async def try_out(self, resource: Resource, body: Body) -> Mapping[str, Any]:
        """Return what the API server answers to an object that is sent as a dry run, be it a refusal."""
        path = resource.path(body["metadata"]["namespace"])
        return await self.connection.ask(path, body, {"dryRun": "All"})

    async def may(self, subject: Subject, rights: Sequence[Right]) -> dict[Right, bool]:
        """Return which of `rights` RBAC gives to `subject`."""
        answers = await asyncio.gather(*(self._may(subject, right) for right in rights))
        return dict(zip(rights, answers, strict=True))

    async def who_am_i(self) -> str:
        """Return the user name under which the API server knows who asks."""
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        answer = await self.connection.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
        name: str = answer["status"]["userInfo"]["username"]
        return name

    async def _may(self, subject: Subject, right: Right) -> bool:
        resource, _, subresource = right.resource.partition("/")
        attributes = {
            "verb": right.verb,
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
            "namespace": right.namespace,
            "name": right.name,
        }
        body = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": subject.username,
                "groups": list(subject.groups),
                "resourceAttributes": attributes,
            },
        }
        async with self._gate:
            answer = await self.connection.post(_REVIEWS, body)
        return (answer.get("status") or {}).get("allowed") is True

    async def _each(
        self, resource: Resource, namespace: str | None, selector: str, *, metadata_only: bool
    ) -> AsyncIterator[Body]:
        pages = list_chunks(
            self.connection,
            resource,
            namespace,
            label_selector=selector or None,
            metadata_only=metadata_only,
        )
        async for items, _ in pages:
            for each in items:
                yield each


async def seen_or_said(check: str, look: Callable[[], Awaitable[list[Finding]]]) -> list[Finding]:
    """Return what a check finds, or why it could not look."""
    try:
        return await look()
    except ForbiddenError as error:
        return [
            unseen(
                check,
                f"You may not look: {error}",
                "Ask again as somebody who may, such as an administrator.",
            )
        ]
    except ApiAnswerError as error:
        return [
            unseen(check, f"The API server did not say: {error}", "See to the API server, then ask again.")
        ]
