"""When the API server did what it did, from its audit log: one clock for both ends of a duration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from devcluster.controlplane import ControlPlane
from devcluster.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Request:
    """Which requests are meant: verb, resource (`pods/binding`) and the object's name."""

    verb: str
    resource: str
    name: str

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Is the event about such a request, and did it succeed?"""
        target = event.get("objectRef") or {}
        resource = "/".join(filter(None, (target.get("resource"), target.get("subresource"))))
        return (
            event["verb"] == self.verb
            and resource == self.resource
            and target.get("name") == self.name
            and event["responseStatus"]["code"] < 300  # noqa: PLR2004 - HTTP's own limit of success
            and "dryRun=" not in event["requestURI"]
        )


def when(cluster: ControlPlane, request: Request, since: int, within: timedelta) -> datetime:
    """Return when the API server had answered the first such request after a position in its audit log.

    Raises:
        ConditionNotMetError: There was none in time.
    """

    def look() -> datetime | None:
        return _first(cluster.audit(since), request)

    seen = wait_until(f"{request.verb} {request.resource} {request.name}", look, within=within)
    if seen is None:
        raise AssertionError("wait_until returns only what is good")
    return seen


def _first(events: Iterable[Mapping[str, Any]], request: Request) -> datetime | None:
    for event in events:
        if request.matches(event):
            return datetime.fromisoformat(event["stageTimestamp"])
    return None


def milliseconds(earlier: datetime, later: datetime) -> str:
    """Write a duration as whole milliseconds."""
    return f"{(later - earlier) / timedelta(milliseconds=1):.0f} ms"
