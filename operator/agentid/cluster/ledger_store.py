"""Writes, reads and deletes LedgerBatches: each once, by its name, and never another in its place."""

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from agentid.api.ledgerbatch import batch_name
from agentid.api.names import FIELD_MANAGER
from agentid.cluster.connection import METADATA, Body, Connection, Params
from agentid.cluster.errors import GoneError, NotFoundError
from agentid.cluster.paths import LEDGER_BATCHES

FIRST_PAGE: Final = 20
"""How many batches the first page of a list may hold: of the longest, that is 10 MiB."""
LONGEST_PAGE: Final = 200
_GROWTH: Final = 4
_PAGE_LENGTH: Final = 2 * 1024 * 1024
"""How long the records of a page are to be together, by the page before: most batches are short."""

_HOW: Final = {"fieldManager": FIELD_MANAGER, "fieldValidation": "Strict"}
"""An API server that does not know a field refuses the batch, and does not leave out what was signed."""


class LedgerStore:
    """The batches in the operator's namespace.

    `guard` is called before each write: it raises to stop it, or returns how many seconds it may take.
    """

    def __init__(self, connection: Connection, namespace: str, guard: Callable[[], float]) -> None:
        self._connection = connection
        self._namespace = namespace
        self._guard = guard

    async def create(self, name: str, spec: Body) -> str:
        """Write a batch and return its UID.

        Raises:
            AlreadyExistsError: a batch has the name: `read` tells whose.
            PassingError: it may be there nevertheless, but for a TooManyRequestsError.
            ApiAnswerError: it was refused.
        """
        body = {
            "apiVersion": LEDGER_BATCHES.api_version,
            "kind": LEDGER_BATCHES.kind,
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": FIELD_MANAGER}},
            "spec": spec,
        }
        path = LEDGER_BATCHES.path(self._namespace)
        # Of what was sent just now, only the metadata has to come back.
        created = await self._connection.post(path, body, _HOW, within_seconds=self._guard(), accept=METADATA)
        uid: str = created["metadata"]["uid"]
        return uid

    async def read(self, sequence: int) -> Body:
        """Return a batch as it is now, never as a cache remembers it.

        Raises:
            NotFoundError: there is none.
        """
        return await self._connection.get(LEDGER_BATCHES.path(self._namespace, batch_name(sequence)))

    async def pages(self) -> AsyncIterator[list[Body]]:
        """Yield all batches in the order of their names, page by page.

        They are those that there are when the first page is asked for. Where that state is forgotten before
        the last page (after some minutes), the others are as they are then: a batch never changes, and what
        is written or deleted meanwhile is at the ends.

        Raises:
            ApiAnswerError: the API server did not answer a page.
        """
        path, last = LEDGER_BATCHES.path(self._namespace), ""
        # No resourceVersion: the newest state, not one that a cache has.
        limit = FIRST_PAGE
        params: Params = {"limit": str(limit)}
        while True:
            try:
                page = await self._connection.get(path, params)
            except GoneError as gone:
                if "continue" not in params:
                    raise
                params = {"limit": str(limit), **_continued(gone.status)}
                continue
            items = [each for each in page.get("items") or () if each["metadata"]["name"] > last]
            if items:
                last = items[-1]["metadata"]["name"]
                yield items
            goes_on = _continued(page)
            if not goes_on:
                return
            limit = _next_limit(limit, items)
            params = {"limit": str(limit), **goes_on}

    async def delete(self, sequence: int, uid: str) -> None:
        """Delete the batch with that UID; one that is not there any more is as good as deleted.

        Raises:
            ConflictError: another one has the name.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": uid},
            "propagationPolicy": "Background",
        }
        path = LEDGER_BATCHES.path(self._namespace, batch_name(sequence))
        try:
            await self._connection.delete(path, options, within_seconds=self._guard())
        except NotFoundError:
            return


def _next_limit(limit: int, page: list[Body]) -> int:
    """Return how many batches the next page may hold: more where those of `page` are short."""
    length = sum(len((each.get("spec") or {}).get("records") or "") for each in page) // max(1, len(page))
    return max(FIRST_PAGE, min(limit * _GROWTH, LONGEST_PAGE, _PAGE_LENGTH // max(1, length)))


def _continued(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return how to ask for what comes next: a page tells, and so does the Status that calls one too old."""
    after = (answer.get("metadata") or {}).get("continue")
    return {"continue": after} if after else {}
