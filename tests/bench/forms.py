"""What agentid was seen to write for one task, as forms that the bare client fills in for others.

So both write the same objects, byte for byte but for names, UIDs, versions and keys.
"""

import base64
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Self

import orjson

from agentid.cluster.secrets import Owner, SecretManifest
from agentid.cluster.tasks import merge_from
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.files import secret_files
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import issue_x509_svid

UID: Final = b"@UID@"
NAME: Final = b"@NAME@"
VERSION: Final = b"@VERSION@"
MOMENT: Final = b"@MOMENT@"
SECRET_UID: Final = b"@SECRET-UID@"
DATA: Final = b'"@DATA@"'
_MOMENT_LENGTH: Final = 20
_CREDENTIALS: Final = 64
"""How many are made beforehand; they are used in turn: the API server does not look into them."""

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Forms:
    """The bodies of the six writes of a life."""

    issued_status: bytes
    secret: bytes
    issued_event: bytes
    ended_status: bytes
    deletion: bytes
    ended_event: bytes

    @classmethod
    def of_life(cls, issued: Object, ended: Object, events: list[Object]) -> Self:
        """Return the forms of a life that agentid has written.

        Args:
            issued: The task with its credential.
            ended: The same, ended.
            events: The two Events about it, in their order.
        """
        name, uid = issued["metadata"]["name"], issued["metadata"]["uid"]
        namespace = issued["metadata"]["namespace"]

        def form(body: Object) -> bytes:
            return orjson.dumps(body).replace(uid.encode(), UID).replace(name.encode(), NAME)

        def status(before: Object, after: Object) -> bytes:
            metadata = {"uid": uid, "resourceVersion": VERSION.decode()}
            kind = {"apiVersion": issued["apiVersion"], "kind": issued["kind"]}
            return form({**kind, "metadata": metadata, "status": merge_from(before, after)})

        def event(seen: Object) -> bytes:
            kept = {
                key: value
                for key, value in seen.items()
                if not key.startswith("deprecated") and key != "metadata"
            }
            metadata = {"name": f"{name}.{MOMENT.decode()}", "namespace": namespace}
            return form({**kept, "metadata": metadata})

        owner = Owner(issued["apiVersion"], issued["kind"], name, uid)
        manifest = SecretManifest(namespace, f"agentid-{name}", uid, (owner,), {})
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {"uid": SECRET_UID.decode()},
            "propagationPolicy": "Background",
        }
        return cls(
            issued_status=status({}, issued["status"]),
            secret=form({**manifest.body(), "data": "@DATA@"}),
            issued_event=event(events[0]),
            ended_status=status(issued["status"], ended["status"]),
            deletion=form(options),
            ended_event=event(events[1]),
        )

    def save(self, path: Path) -> None:
        """Write them to a file."""
        path.write_bytes(orjson.dumps({name: text.decode() for name, text in asdict(self).items()}))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read them from a file."""
        return cls(**{name: text.encode() for name, text in orjson.loads(path.read_bytes()).items()})


def moment(now: datetime, count: int) -> bytes:
    """Return what makes an Event's name its own, as long as agentid's."""
    return f"{round(now.timestamp() * 1_000_000):016x}{count & 0xFFFF:04x}".encode()[:_MOMENT_LENGTH]


def credentials(trust_domain: str) -> list[bytes]:
    """Make the contents of Secrets with agentid's own `pki`, each as JSON."""
    now = datetime.now(UTC)
    domain = TrustDomain(trust_domain)
    authority = CertificateAuthority.load(AuthorityMaterial.create(domain, now), domain, now)
    path = "ns/bench/agent/refund-agent/task/00000000-0000-4000-8000-000000000000"
    made = []
    for _ in range(_CREDENTIALS):
        svid = issue_x509_svid(
            authority,
            SpiffeId.parse(f"spiffe://{trust_domain}/{path}"),
            now=now,
            ttl=timedelta(hours=1),
            not_after_limit=now + timedelta(hours=1),
        )
        files = {name: base64.b64encode(content).decode() for name, content in secret_files(svid).items()}
        made.append(orjson.dumps(files))
    return made
