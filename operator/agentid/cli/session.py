"""A command's way to the API server, with the rights of whoever runs it."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from agentid.cli.where import Where
from agentid.cluster.access import current_namespace
from agentid.cluster.connection import Connection


@dataclass(frozen=True, slots=True)
class Session:
    """One API server, and where on it the command works.

    Attributes:
        connection: Requests with the caller's rights.
        namespace: Where what names no namespace is.
        everywhere: Whether all namespaces are meant.
    """

    connection: Connection
    namespace: str
    everywhere: bool

    @property
    def scope(self) -> str | None:
        """Where lists are made: the namespace, or None for all."""
        return None if self.everywhere else self.namespace

    @property
    def place(self) -> str:
        """The same in words."""
        return "in all namespaces" if self.everywhere else f"in namespace {self.namespace}"

    @property
    def advice(self) -> str:
        """What somebody can do who may not list there: the end of a sentence."""
        return "; name a namespace in which you may with -n" if self.everywhere else ". Ask somebody who may"


@asynccontextmanager
async def session(where: Where) -> AsyncIterator[Session]:
    """Open the way to the cluster that is meant.

    Raises:
        ConfigurationError: there is none.
    """
    async with Connection.open(where.kubeconfig, time.monotonic, where.context) as connection:
        namespace = where.namespace or current_namespace(where.kubeconfig, where.context)
        yield Session(connection, namespace, where.everywhere)


async def who_am_i(of: Session) -> tuple[str, tuple[str, ...]]:
    """Return the user name and groups under which the API server knows who asks."""
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = await of.connection.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", body)
    user = answer["status"]["userInfo"]
    return str(user["username"]), tuple(str(each) for each in user.get("groups") or ())
