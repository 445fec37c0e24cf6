"""LedgerBatches on a real API server: who may write, change, list and delete them, and what stays."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest

from agentid.api.ledgerbatch import MAX_RECORDS_LENGTH, batch_name
from agentid.cluster.connection import Connection
from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ConflictError,
    GoneError,
    InvalidError,
    NotFoundError,
)
from agentid.cluster.ledger_key_store import LedgerKeyStore
from agentid.cluster.ledger_store import FIRST_PAGE, LedgerStore
from devcluster.components import Options
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE, install_chart, operator_kubeconfig, uninstall_chart
from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.batches import RECORD, batch, batch_spec
from tests.cluster.in_force import wait_until_in_force
from tests.cluster.people import People, everybody, give_every_right, refusal
from tests.cluster.unguarded import once_let, without

RULE = "ledger-batches.agentid.dev"
EVERYBODY = ["tenant", "stranger", "admin", "operator"]
OTHERS = ["tenant", "stranger", "admin"]
RESOURCE = "ledgerbatches.agentid.dev"
HOME = f"/apis/agentid.dev/v1alpha1/namespaces/{NAMESPACE}/ledgerbatches"
CLEARLY = timedelta(minutes=2)
FORGETS = timedelta(seconds=60)
AGAIN_SECONDS = 0.5


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane of these tests alone: no operator finds batches that it did not write."""
    forgets_soon = Options(apiserver=("--etcd-compaction-interval=2s",))
    with ControlPlane.start(forgets_soon) as control_plane:
        installed(control_plane)
        yield control_plane


def installed(cluster: ControlPlane) -> None:
    install_chart(cluster)
    wait_until_in_force(cluster.kubectl)
    give_every_right(cluster.kubectl)


@pytest.fixture
def home(cluster: ControlPlane) -> Iterator[People]:
    """Everybody in the operator's namespace, with every right that RBAC can give; no batch is left there."""
    people = everybody(cluster.kubectl, NAMESPACE)
    yield people
    for each in people.admin.list(RESOURCE):
        delete(people.operator, each)


@pytest.fixture
def elsewhere(cluster: ControlPlane, namespace: str) -> People:
    """Everybody in a namespace of the test."""
    return everybody(cluster.kubectl, namespace)


@pytest.fixture
def written(home: People) -> Object:
    """A batch that the operator wrote."""
    return home.operator.create(batch())


@asynccontextmanager
async def connected(cluster: ControlPlane) -> AsyncIterator[Connection]:
    """The operator's connection, with its own token and the rights that the chart gives it."""
    async with Connection.open(operator_kubeconfig(cluster, "of-the-ledger"), time.monotonic) as connection:
        yield connection


@asynccontextmanager
async def store_of(cluster: ControlPlane) -> AsyncIterator[LedgerStore]:
    async with connected(cluster) as connection:
        yield LedgerStore(connection, NAMESPACE, lambda: 10.0)


async def listed(store: LedgerStore) -> list[str]:
    return [each["metadata"]["name"] async for page in store.pages() for each in page]


def delete(person: Kubectl, seen: Object, **options: object) -> str:
    """Delete a batch by its UID, or with other options."""
    by_uid = {"preconditions": {"uid": seen["metadata"]["uid"]}}
    body = json.dumps({"apiVersion": "v1", "kind": "DeleteOptions", **by_uid, **options})
    return person("delete", f"--raw={HOME}/{seen['metadata']['name']}", "--filename=-", stdin=body)


def still_there(home: People, seen: Object) -> bool:
    return home.admin.get(RESOURCE, seen["metadata"]["name"]) == seen


# As the operator's store writes, reads, lists and deletes them.


@pytest.mark.usefixtures("home")
async def test_what_the_operator_writes_is_read_listed_and_deleted_by_its_uid(cluster: ControlPlane) -> None:
    async with store_of(cluster) as store:
        uid = await store.create(batch_name(7), batch_spec(7))

        read = await store.read(7)
        assert read["spec"] == batch_spec(7)
        assert read["metadata"]["uid"] == uid
        assert [each async for each in store.pages()] == [[read]]
        with pytest.raises(AlreadyExistsError):
            await store.create(batch_name(7), batch_spec(7, nonce="9" * 32))
        with pytest.raises(ConflictError):
            await store.delete(7, "5b0c3a3e-3a33-4b4b-9c9c-000000000001")
        assert await store.read(7) == read

        await store.delete(7, uid)
        await store.delete(7, uid)

        with pytest.raises(NotFoundError):
            await store.read(7)
        assert await listed(store) == []


@pytest.mark.usefixtures("home")
async def test_of_writers_at_once_one_has_the_sequence_number(cluster: ControlPlane) -> None:
    async with store_of(cluster) as store:
        nonces = [f"{number:032x}" for number in range(6)]
        answers = await asyncio.gather(
            *(store.create(batch_name(1), batch_spec(nonce=nonce)) for nonce in nonces),
            return_exceptions=True,
        )

        (won,) = (nonce for nonce, answer in zip(nonces, answers, strict=True) if isinstance(answer, str))
        assert [type(each) for each in answers].count(AlreadyExistsError) == len(nonces) - 1
        assert (await store.read(1))["spec"]["nonce"] == won


@pytest.mark.usefixtures("home")
async def test_a_list_whose_state_is_forgotten_goes_on_in_order_with_what_is_new(
    cluster: ControlPlane,
) -> None:
    many = FIRST_PAGE + 5
    async with connected(cluster) as connection:
        store = LedgerStore(connection, NAMESPACE, lambda: 10.0)
        for sequence in range(1, many + 1):
            await store.create(batch_name(sequence), batch_spec(sequence))
        assert await listed(store) == [batch_name(sequence) for sequence in range(1, many + 1)]
        pages = store.pages()
        first = await anext(pages)
        since = cluster.audit_position()

        await store.delete(1, first[0]["metadata"]["uid"])
        await store.create(batch_name(many + 1), batch_spec(many + 1))
        later = await connection.get(HOME, {"limit": "1"})
        await forgotten(connection, later["metadata"]["continue"])
        rest = [each async for page in pages for each in page]

    names = [each["metadata"]["name"] for each in (*first, *rest)]
    assert names == [batch_name(sequence) for sequence in range(1, many + 2)]
    refused = [each for each in cluster.audit(since) if each["responseStatus"]["code"] == 410]
    assert "limit=" in refused[-1]["requestURI"]


async def forgotten(connection: Connection, token: str) -> None:
    """Wait until the API server does not know any more what a list was to go on with."""
    end = time.monotonic() + FORGETS.total_seconds()
    while time.monotonic() < end:
        try:
            await connection.get(HOME, {"limit": "1", "continue": token})
        except GoneError:
            return
        await asyncio.sleep(AGAIN_SECONDS)
    pytest.fail("the API server remembers for too long what was")


@pytest.mark.usefixtures("home")
async def test_the_longest_batch_comes_back_as_it_was_and_a_longer_one_is_refused(
    cluster: ControlPlane,
) -> None:
    longest = RECORD * (MAX_RECORDS_LENGTH // len(RECORD))
    async with store_of(cluster) as store:
        await store.create(batch_name(1), batch_spec(records=longest))
        assert (await store.read(1))["spec"]["records"] == longest

        too_long = f"spec.records: Too long: may not be more than {MAX_RECORDS_LENGTH} bytes"
        with pytest.raises(InvalidError, match=too_long):
            await store.create(batch_name(2), batch_spec(2, records="x" * (MAX_RECORDS_LENGTH + 1)))
        assert await listed(store) == [batch_name(1)]


@pytest.mark.usefixtures("home")
async def test_a_field_that_the_api_server_does_not_know_is_not_left_out_of_what_was_signed(
    cluster: ControlPlane,
) -> None:
    async with store_of(cluster) as store:
        with pytest.raises(InvalidError, match=r'unknown field "spec\.witness"'):
            await store.create(batch_name(1), batch_spec(witness="x"))


@pytest.mark.usefixtures("home")
async def test_the_store_writes_nowhere_else(cluster: ControlPlane, namespace: str) -> None:
    async with connected(cluster) as connection:
        store = LedgerStore(connection, namespace, lambda: 10.0)
        with pytest.raises(Exception, match="forbidden") as caught:
            await store.create(batch_name(1), batch_spec())

    assert not isinstance(caught.value, AdmissionRefusedError), "RBAC is the first to refuse it"


# The form of a batch.


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("1", 1),
        ("000000000000001", 1),
        ("00000000000000001", 1),
        ("0000000000000002", 1),
        ("000000000000001a", 1),
        ("0000000000000000", 1),
        ("of-a-test", 1),
    ],
)
def test_a_batch_is_called_like_its_sequence_number(home: People, name: str, sequence: int) -> None:
    wrong = batch(sequence) | {"metadata": {"name": name}}

    said = refusal(lambda: home.operator.create(wrong))

    assert "must be spec.sequence in 16 digits, such as 0000000000000042" in said
    assert home.admin.list(RESOURCE) == []


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("sequence", 0, "should be greater than or equal to 1"),
        ("previousHash", f"sha256:{'A' * 64}", "must be a hash: sha256: and 64 hexadecimal digits"),
        ("root", "0" * 71, "must be a hash: sha256: and 64 hexadecimal digits"),
        ("count", 0, "should be greater than or equal to 1"),
        ("at", "2026-05-31T14:00:00.5Z", "spec.at"),
        ("at", "2026-02-30T14:00:00Z", "spec.at"),
        ("writer", "a b", "must be the name of a process"),
        ("nonce", "x" * 32, "must be a nonce: 32 hexadecimal digits"),
        ("keyID", "", "must be a hash"),
        ("signature", "A" * 88, "must be an Ed25519 signature in base64: 88 characters"),
        ("records", "", "spec.records"),
        ("records", None, "spec.records: Required value"),
    ],
)
def test_a_batch_of_another_form_is_refused_with_what_is_wrong(
    home: People, field: str, value: object, said: str
) -> None:
    wrong = batch()
    wrong["spec"][field] = value

    assert said in refusal(lambda: home.operator.create(wrong))
    assert home.admin.list(RESOURCE) == []


# Who writes.


@pytest.mark.parametrize("person", OTHERS)
def test_nobody_but_the_operator_writes_a_batch(home: People, elsewhere: People, person: str) -> None:
    for people in (home, elsewhere):
        somebody = people.named(person)
        for options in ((), ("--dry-run=server",)):
            said = refusal(lambda s=somebody, o=options: s.create(batch(), *o))
            assert "only the operator writes LedgerBatches" in said
        assert "only the operator writes" in refusal(lambda s=somebody: s.apply(batch(), "--server-side"))
        assert people.admin.list(RESOURCE) == []


def test_the_operator_writes_in_its_own_namespace_only(elsewhere: People) -> None:
    said = refusal(lambda: elsewhere.operator.create(batch()))

    assert f"the ledger is in namespace {NAMESPACE} only" in said


@pytest.mark.parametrize(
    "metadata",
    [
        {"finalizers": ["example.com/hold"]},
        {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]},
    ],
    ids=["finalizer", "owner"],
)
def test_nobody_else_says_when_a_batch_goes(home: People, metadata: dict[str, Any]) -> None:
    wrong = batch()
    wrong["metadata"] |= metadata

    assert "has neither owners nor finalizers" in refusal(lambda: home.operator.create(wrong))


# Nobody changes one.

CHANGES: dict[str, dict[str, Any]] = {
    "records": {"spec": {"records": "{}\n"}},
    "a hash": {"spec": {"root": f"sha256:{'9' * 64}"}},
    "the whole chain": {"spec": batch_spec(previousHash=f"sha256:{'9' * 64}", nonce="9" * 32)},
    "a label": {"metadata": {"labels": {"a": "b"}}},
    "an annotation": {"metadata": {"annotations": {"a": "b"}}},
    "a finalizer": {"metadata": {"finalizers": ["example.com/hold"]}},
    "an owner": {
        "metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}]}
    },
}


@pytest.mark.parametrize("person", EVERYBODY)
@pytest.mark.parametrize("change", CHANGES)
def test_nobody_changes_a_batch(home: People, written: Object, person: str, change: str) -> None:
    somebody, name = home.named(person), written["metadata"]["name"]

    said = refusal(lambda: somebody.patch(RESOURCE, name, CHANGES[change]))

    assert "a LedgerBatch never changes" in said
    assert still_there(home, written)


@pytest.mark.parametrize("person", EVERYBODY)
def test_a_write_that_changes_nothing_is_let_through_and_changes_nothing(
    home: People, written: Object, person: str
) -> None:
    home.named(person).replace(written)

    assert home.admin.get(RESOURCE, written["metadata"]["name"])["spec"] == written["spec"]


def test_where_the_rule_is_gone_the_schema_still_holds_what_was_written(
    home: People, written: Object
) -> None:
    name = written["metadata"]["name"]
    with without(home.admin, RULE):
        once_let(lambda: home.admin.patch(RESOURCE, name, {"metadata": {"labels": {"a": "b"}}}))

        said = refusal(lambda: home.admin.patch(RESOURCE, name, CHANGES["records"]))

    assert "a LedgerBatch never changes: what it says is what was so when it was written" in said


# Who deletes.


@pytest.mark.parametrize("person", OTHERS)
def test_nobody_but_the_operator_deletes_a_batch(home: People, written: Object, person: str) -> None:
    somebody, name = home.named(person), written["metadata"]["name"]

    for what in ((RESOURCE, name), (RESOURCE, "--all"), (f"--raw={HOME}",)):
        said = refusal(lambda what=what: somebody("delete", *what))
        assert "only the operator deletes LedgerBatches" in said
    assert "only the operator deletes" in refusal(lambda: delete(somebody, written))
    assert still_there(home, written)


@pytest.mark.parametrize(
    "options",
    [
        {"preconditions": None},
        {"preconditions": None, "propagationPolicy": "Background"},
        {"propagationPolicy": "Foreground"},
        {"propagationPolicy": "Orphan"},
        {"orphanDependents": True},
    ],
    ids=["no UID", "no UID, background", "foreground", "orphan", "orphan, the old way"],
)
def test_the_operator_deletes_by_uid_and_in_the_background_only(
    home: People, written: Object, options: dict[str, Any]
) -> None:
    said = refusal(lambda: delete(home.operator, written, **options))

    assert "the operator deletes a LedgerBatch by its UID and in the background" in said
    assert still_there(home, written)


def test_the_operator_deletes_not_all_at_once(home: People, written: Object) -> None:
    said = refusal(lambda: home.operator("delete", f"--raw={HOME}"))

    assert "one at a time" in said
    assert still_there(home, written)


def test_the_garbage_collector_is_nobody_here(home: People, written: Object) -> None:
    collector = home.admin.as_service_account("kube-system", "generic-garbage-collector")

    assert "only the operator deletes" in refusal(lambda: delete(collector, written))


# The key, beside it.


async def test_two_that_start_at_once_agree_on_one_key_and_rotate_it_once(
    cluster: ControlPlane, home: People
) -> None:
    home.admin.delete("secret", "ledger-key", "--ignore-not-found")
    async with connected(cluster) as one, connected(cluster) as other:
        stores = [
            LedgerKeyStore(each, NAMESPACE, lambda number=number: f"key {number}".encode())
            for number, each in enumerate((one, other))
        ]
        left, right = await asyncio.gather(*(store.load_or_create() for store in stores))
        assert left.current == right.current

        began = await stores[0].replace(left, following=b"next")
        with pytest.raises(ConflictError):
            await stores[1].replace(right, following=b"another")
        assert (await stores[1].load_or_create()).following == b"next"
        await stores[0].replace(began, current=b"next", following=None)

        rotated = await stores[1].load_or_create()
        assert (rotated.current, rotated.following) == (b"next", None)
    kept = home.admin.get("secret", "ledger-key")
    assert {key: base64.b64decode(value) for key, value in kept["data"].items()} == {"ledger.key": b"next"}


def test_the_key_is_the_operators_to_read_and_not_to_delete(cluster: ControlPlane, home: People) -> None:
    operator = cluster.kubectl.in_namespace(NAMESPACE).as_service_account(NAMESPACE, "agentid")
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ledger-key"}, "type": "Opaque"}
    home.admin.delete("secret", "ledger-key", "--ignore-not-found")
    made = home.operator.create(key | {"data": {"ledger.key": "eA=="}})

    assert operator.can_i("get", "secret/ledger-key")
    assert not operator.can_i("get", "secret/another")
    options = json.dumps({"preconditions": {"uid": made["metadata"]["uid"]}})
    path = f"--raw=/api/v1/namespaces/{NAMESPACE}/secrets/ledger-key"
    said = refusal(lambda: home.operator("delete", path, "--filename=-", stdin=options))
    assert "operator-secrets.agentid.dev" in said
    assert home.admin.get("secret", "ledger-key")["data"] == {"ledger.key": "eA=="}


def test_in_a_tenants_namespace_the_name_of_the_key_is_not_the_operators(elsewhere: People) -> None:
    key = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "ledger-key"}, "type": "Opaque"}

    assert "operator-secrets.agentid.dev" in refusal(lambda: elsewhere.operator.create(key))
    assert elsewhere.tenant.create(key)


# What stays.


@pytest.fixture
def again(cluster: ControlPlane) -> Iterator[ControlPlane]:
    """The cluster, in which the chart is installed again afterwards."""
    yield cluster
    installed(cluster)


@pytest.mark.timeout(300)
def test_the_ledger_outlives_the_chart_and_is_then_an_administrators_to_remove(
    again: ControlPlane, home: People, written: Object
) -> None:
    uninstall_chart(again)
    assert still_there(home, written)

    installed(again)
    assert still_there(home, written)
    assert "only the operator deletes" in refusal(lambda: delete(home.admin, written))

    uninstall_chart(again)
    once_let(lambda: home.admin.delete(RESOURCE, written["metadata"]["name"]))
    assert home.admin.list(RESOURCE) == []


@pytest.mark.timeout(300)
def test_the_namespace_goes_with_its_ledger_and_is_not_stuck(again: ControlPlane, written: Object) -> None:
    admin = again.kubectl
    assert written

    admin.delete("namespace", NAMESPACE, "--wait=false")

    wait_until(
        "the namespace is gone",
        lambda: admin.find("namespace", NAMESPACE),
        lambda seen: not seen,
        within=CLEARLY,
    )
