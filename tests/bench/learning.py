"""Learns from one life what agentid writes, so that the bare client writes the same for others.

The same, byte for byte, but for names, UIDs, versions and keys.
"""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from agentid.cluster.secrets import Owner, SecretManifest
from agentid.cluster.tasks import merge_from
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.files import secret_files
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import issue_x509_svid
from tests.bench import forms
from tests.bench.forms import Forms

_CREDENTIALS: Final = 64
"""How many are made beforehand; the API server does not look into them."""

Object = dict[str, Any]


def forms_of(issued: Object, ended: Object, events: list[Object], credentials: Iterable[str]) -> Forms:
    """Return the forms of a life that agentid has written.

    Args:
        issued: The task with its credential.
        ended: The same, ended.
        events: The two Events about it, in their order.
        credentials: Contents of Secrets, each as JSON.
    """
    name, uid = issued["metadata"]["name"], issued["metadata"]["uid"]
    namespace = issued["metadata"]["namespace"]

    def form(body: Object) -> str:
        text = orjson.dumps(body).replace(uid.encode(), forms.UID).replace(name.encode(), forms.NAME)
        return text.decode()

    def status(before: Object, after: Object) -> str:
        metadata = {"uid": uid, "resourceVersion": forms.VERSION.decode()}
        kind = {"apiVersion": issued["apiVersion"], "kind": issued["kind"]}
        return form({**kind, "metadata": metadata, "status": merge_from(before, after)})

    def event(seen: Object) -> str:
        kept = {
            key: value
            for key, value in seen.items()
            if not key.startswith("deprecated") and key != "metadata"
        }
        metadata = {"name": f"{name}.{forms.MOMENT.decode()}", "namespace": namespace}
        return form({**kept, "metadata": metadata})

    owner = Owner(issued["apiVersion"], issued["kind"], name, uid)
    manifest = SecretManifest(namespace, f"agentid-{name}", uid, (owner,), {})
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {"uid": forms.SECRET_UID.decode()},
        "propagationPolicy": "Background",
    }
    return Forms(
        issued_status=status({}, issued["status"]),
        secret=form({**manifest.body(), "data": "@DATA@"}),
        issued_event=event(events[0]),
        ended_status=status(issued["status"], ended["status"]),
        deletion=form(options),
        ended_event=event(events[1]),
        credentials=tuple(credentials),
    )


def credentials(trust_domain: str) -> list[str]:
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
        made.append(orjson.dumps(files).decode())
    return made
