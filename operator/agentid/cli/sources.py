"""Where policies come from: those in force in the cluster, drafts in files, or drafts over those in force."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from agentid.cli.errors import NotSeenError, UnusableFileError
from agentid.cli.manifests import Manifest, manifests
from agentid.cli.session import Session
from agentid.cluster.errors import ForbiddenError
from agentid.cluster.paths import AGENT_POLICIES, CLUSTER_AGENT_POLICIES, Resource
from agentid.cluster.watching import list_chunks
from agentid.watched.installed_policy import InstalledPolicy
from agentid.watched.policies import Policies

LIVE: Final = "live"
_KINDS: Final = {each.kind: each for each in (CLUSTER_AGENT_POLICIES, AGENT_POLICIES)}


@dataclass(frozen=True, slots=True)
class Source:
    """Which policies are meant.

    Attributes:
        live: Those in force in the cluster.
        drafts: Those in files; over those in force, where both are meant.
    """

    live: bool
    drafts: Path | None

    @classmethod
    def read(cls, written: str) -> Self:
        """Return what `live`, a path, or `live+` and a path means."""
        if written == LIVE:
            return cls(True, None)
        if written.startswith(f"{LIVE}+"):
            return cls(True, Path(written.removeprefix(f"{LIVE}+")))
        return cls(False, Path(written))

    async def policies(self, here: Session | None, namespace: str, scope: str | None) -> Policies:
        """Return the policies, judged as the operator does.

        Args:
            here: The cluster; needed for those in force.
            namespace: Where an AgentPolicy of a file is that names no namespace.
            scope: Whose AgentPolicies in force are read; None: those of all namespaces.

        Raises:
            NotSeenError: the caller may not see those in force.
            UnusableFileError: a draft is not accepted, or there is none.
        """
        found = Policies(lambda _: None, lambda _: None)
        if self.live and here is not None:
            await _take_live(here, scope, found)
        for resource in _KINDS.values():
            found.listed(resource)
        if self.drafts is not None:
            await _take_drafts(self.drafts, namespace, found)
        await found.renew_all()
        return found


async def _take_live(here: Session, scope: str | None, found: Policies) -> None:
    for resource, where in ((CLUSTER_AGENT_POLICIES, None), (AGENT_POLICIES, scope)):
        try:
            seen = [
                body async for bodies, _ in list_chunks(here.connection, resource, where) for body in bodies
            ]
        except ForbiddenError as error:
            raise NotSeenError(
                f"you may not list {resource.plural}.agentid.dev, so you cannot know what is in force. Ask "
                "somebody who may, such as the platform team, or judge by files of your own"
            ) from error
        # What was accepted before comes first, and what is left of the room is for the others.
        for body in seen:
            await found.take(resource, body)
        found.listed(resource)
        for body in seen:
            await found.take(resource, body)


async def _take_drafts(path: Path, namespace: str, found: Policies) -> None:
    drafts = [each for each in manifests(path) if each.kind in _KINDS]
    if not drafts:
        raise UnusableFileError(f"{path} holds no ClusterAgentPolicy and no AgentPolicy")
    seen: dict[tuple[str, str, str], Path] = {}
    for each in drafts:
        resource = _KINDS[each.kind]
        where = (each.namespace or namespace) if resource is AGENT_POLICIES else ""
        key = (each.kind, where, each.name)
        if key in seen:
            raise UnusableFileError(f"{each.kind} {each.name} stands twice, in {seen[key]} and {each.file}")
        seen[key] = each.file
        taken = await _take_draft(resource, where, each, found)
        if taken is None or taken.refusal:
            said = taken.refusal if taken is not None else "it has no name"
            raise UnusableFileError(f"{each.file}: {said}")


async def _take_draft(
    resource: Resource, namespace: str, draft: Manifest, found: Policies
) -> InstalledPolicy | None:
    """Take in a draft as if it were applied over what is there."""
    known = next(
        (
            each
            for each in found.installed()
            if (each.resource, each.namespace, each.name) == (resource, namespace, draft.name)
        ),
        None,
    )
    uid = f"draft {draft.kind} {namespace}/{draft.name}"
    metadata = {
        "name": draft.name,
        "namespace": namespace,
        "uid": uid,
        "resourceVersion": str(1 if known is None else known.version + 1),
        "generation": 1,
    }
    await found.take(resource, {"metadata": metadata, "spec": draft.body.get("spec")})
    return found.find(uid) if draft.name else None
