"""What the API server wrote down about each request: the policy it follows, and a reader for tests.

Everything is logged at Metadata. Secrets are logged with request and response, so that a test can prove
that no response to the operator ever carried another's Secret. Tokens are not: theirs stay out of the file.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.lines import end_of_lines

POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "RequestResponse", "resources": [{"group": "", "resources": ["secrets"]}]},
        {"level": "Metadata"},
    ],
}

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class AuditLog:
    """The audit log of one API server.

    Attributes:
        path: The file, one JSON event (audit.k8s.io/v1) a line.
    """

    path: Path

    def position(self) -> int:
        """Where the log's last whole line ends now, in bytes, to read from later."""
        return end_of_lines(self.path)

    def events(self, since: int = 0, user: str | None = None) -> Iterator[dict[str, Any]]:
        """The events from a position on, oldest first.

        Args:
            since: A value of `position`.
            user: Only those of this user name (who it acted as, where it impersonated).
        """
        if not self.path.exists():
            return
        with self.path.open("rb") as log:
            log.seek(since)
            for line in log:
                if not line.endswith(b"\n"):
                    return  # still being written
                event = json.loads(line)
                if user is None or acting_user(event) == user:
                    yield event


def acting_user(event: dict[str, Any]) -> str:
    """The name under which the request was decided: the impersonated one, where there is one."""
    who = event.get("impersonatedUser") or event["user"]
    return str(who.get("username", ""))


def is_write(event: dict[str, Any]) -> bool:
    """Did the request change something? A refused one and a dry run did not."""
    return (
        event["verb"] in WRITES
        and event.get("stage") == "ResponseComplete"
        and event["responseStatus"]["code"] < 300  # noqa: PLR2004 - HTTP's own limit of success
        and "dryRun=" not in event["requestURI"]
    )
