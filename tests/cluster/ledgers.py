"""Reads the ledger of a cluster as an auditor does: whether it is whole, and what it says of a task."""

import base64
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from agentid.ledger.audit import Auditor
from agentid.ledger.batch import Batch, seal
from agentid.ledger.chain import ChainVerifier
from agentid.ledger.key import LedgerKey
from agentid.ledger.record import Record
from agentid.lifecycle.journal import GIVES
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster import story
from tests.cluster.intercepting import Trap

RESOURCE = "ledgerbatches.agentid.dev"
POST = ("POST", r".*/ledgerbatches")
SLOWLY = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Ledger:
    """All batches of a ledger that is whole, with their records."""

    batches: tuple[tuple[Batch, tuple[Record, ...]], ...]

    @property
    def head(self) -> Batch:
        """The last one."""
        return self.batches[-1][0]

    def of(self, uid: str) -> list[Record]:
        """What it says of a task, in its order."""
        return [each for _, records in self.batches for each in records if each.text("uid") == uid]

    def audited(self, uids: Iterable[str] | None = None) -> list[str]:
        """What an auditor finds about these tasks; None: about anything."""
        auditor, mine = Auditor(), set(uids) if uids is not None else None
        found = [each for batch, records in self.batches for each in auditor.feed(batch, records)]
        found += auditor.finish(datetime.now(UTC))
        return [str(each) for each in found if mine is None or each.uid in mine]


def whole(admin: Kubectl) -> Ledger:
    """Read the ledger, and see that it is one chain from its beginning to its head."""
    chain, read = ChainVerifier(), []
    for body in sorted(admin.in_namespace(NAMESPACE).list(RESOURCE), key=_name):
        checked = chain.feed(_name(body), body["spec"])
        assert not checked.findings, checked.findings
        assert checked.batch is not None
        read.append((checked.batch, checked.records))
    found = [str(each) for each in chain.finish()[1] if not each.kind.is_notice]
    assert not found, found
    return Ledger(tuple(read))


@contextmanager
def nothing_found(cluster: ControlPlane) -> Iterator[None]:
    """Whatever happens meanwhile: afterwards the ledger is whole, and an auditor finds nothing in it.

    What happened in the last five minutes may still be put right, and is not judged.
    """
    yield
    admin = cluster.kubectl
    if admin.in_namespace(NAMESPACE).list(RESOURCE):
        found = whole(admin).audited()
        assert not found, found


def told(admin: Kubectl, task: Object, within: timedelta = SLOWLY) -> list[Record]:
    """Wait until the ledger tells the end of a task and takes back all its credentials; return all of it."""
    uid = task["metadata"]["uid"]

    def is_told(records: list[Record]) -> bool:
        return (
            bool(records) and "ended" in {each.kind for each in records} and given(records) <= taken(records)
        )

    wait_until(
        f"the ledger tells the end of {task['metadata']['name']}",
        lambda: whole(admin).of(uid),
        is_told,
        within=within,
        every=timedelta(seconds=0.5),
    )
    records = whole(admin).of(uid)
    assert [each.kind for each in records].count("ended") == 1
    assert not whole(admin).audited([uid])
    return records


def given(records: Iterable[Record]) -> set[str]:
    """The serials that are issued by these records."""
    return {each.text("serial") for each in records if each.kind in GIVES}


def taken(records: Iterable[Record]) -> set[str]:
    """The serials that are revoked by these records."""
    return {serial for each in records for serial, _ in each.revoked()}


def accounts_for(admin: Kubectl, task: Object) -> list[Record]:
    """Wait until what is out by the ledger is what a live task's status counts; return what that says."""
    uid, name = task["metadata"]["uid"], task["metadata"]["name"]
    here = admin.in_namespace(task["metadata"]["namespace"])

    def compared() -> tuple[set[str], set[str]]:
        counting = set(story.serials(here.get("agenttask", name)))
        records = whole(admin).of(uid)
        return counting, given(records) - taken(records) - _past(records)

    wait_until(
        f"what is out of {name} is what its status counts",
        compared,
        lambda seen: seen[0] - seen[1] == set() and seen[0] == seen[1],
        within=SLOWLY,
        every=timedelta(seconds=0.5),
    )
    return whole(admin).of(uid)


def says(kind: str, task: str) -> Trap:
    """A trap at the batch with a record of that kind about that task: it is written, and not answered."""
    return Trap(*POST, answered=True, is_it=lambda body: has_record(body, kind, task))


def has_record(body: Mapping[str, Any], kind: str, task: str) -> bool:
    """Whether the batch that is sent holds a record of that kind about that task."""
    records = str(body.get("spec", {}).get("records", "")).splitlines()
    return any(f'"kind":"{kind}"' in each and f'"task":"{task}"' in each for each in records)


def write_as_another(admin: Kubectl) -> Batch:
    """Write the batch that comes next, as an operator would that this one knows nothing of."""
    home = admin.in_namespace(NAMESPACE)
    pem = base64.b64decode(home.get("secret", "ledger-key")["data"]["ledger.key"])
    last = whole(admin).head
    at = datetime.now(UTC).replace(microsecond=0)
    line = (
        f'{{"at":"{at:%Y-%m-%dT%H:%M:%SZ}","count":0,"kind":"lost","schema":"agentid.dev/record/v1",'
        f'"since":"{at:%Y-%m-%dT%H:%M:%SZ}"}}'
    )
    batch = seal(
        last.head,
        [line.encode()],
        key=LedgerKey.from_pem(pem),
        writer="another",
        nonce=secrets.token_hex(16),
        at=at,
    )
    operator = home.as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    operator.create(manifest(batch.name, batch.to_spec()))
    return batch


def manifest(name: str, spec: Mapping[str, Any]) -> Object:
    """A LedgerBatch as it is written."""
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "LedgerBatch",
        "metadata": {"name": name},
        "spec": dict(spec),
    }


def _past(records: Iterable[Record]) -> set[str]:
    now = datetime.now(UTC)
    return {each.text("serial") for each in records if (each.time("not_after") or now) < now}


def _name(body: Object) -> str:
    return str(body["metadata"]["name"])
