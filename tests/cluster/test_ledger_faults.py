"""The ledger under faults: killed, cut off, refused, overtaken, tampered with; nothing gets out."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from threading import Event

import pytest
from aiohttp import web

from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.waiting import wait_until
from tests.cluster import leases, ledgers, playing, story
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task
from tests.cluster.unguarded import as_written, once_let, without

SLOWLY = timedelta(seconds=60)
STATUS = ("PATCH", rf".*/agenttasks/{TASK}/status")
CREATE = ("POST", r".*/secrets")
WIPE = ("PUT", rf".*/secrets/agentid-{TASK}")
RULE = "ledger-batches.agentid.dev"
HOME_BINDING = "agentid-operator-home"


@pytest.fixture(scope="module")
def interceptor(cluster: ControlPlane, operator_of_session: OperatorProcess) -> Iterator[Interceptor]:
    """The operator's way to the API server, and the operator on it."""
    proxy = Interceptor(cluster, operator_of_session.kubeconfig)
    proxy.environment["AGENTID_WIPE_GRACE_SECONDS"] = "15"
    with proxy.running():
        leases.begin_anew(operator_of_session, proxy.environment)
        yield proxy
        operator_of_session.terminate()


@pytest.fixture
def mortal(place: Kubectl, operator_of_session: OperatorProcess, interceptor: Interceptor) -> OperatorProcess:
    """The operator, on its way through the interceptor, in a namespace with an Agent."""
    assert place.namespace
    interceptor.set()
    if not operator_of_session.alive():
        leases.begin(operator_of_session, interceptor.environment)
    return operator_of_session


def standing_of_ledger(here: Kubectl, name: str = TASK) -> str:
    """Wait until a task says that nothing is issued because of the ledger, and return what it says."""
    seen = here.wait_for(
        "agenttask",
        name,
        lambda seen: "the ledger" in story.conditions(seen).get("Finished", {}).get("message", ""),
        SLOWLY,
        f"{name} says what is wrong with the ledger",
    )
    assert story.serials(seen) == []
    assert story.conditions(seen)["Stalled"]["status"] == "True"
    assert here.find("secret", f"agentid-{name}") is None, "nothing is released"
    return str(story.conditions(seen)["Finished"]["message"])


# Killed.


@pytest.mark.parametrize(
    "trap",
    [
        pytest.param(lambda: ledgers.says("issued", TASK), id="between the record and the status"),
        pytest.param(lambda: Trap(*STATUS, answered=True), id="between the status and the Secret"),
    ],
)
def test_killed_while_it_issues_leaves_nothing_out_that_nobody_accounts_for(
    place: Kubectl,
    admin: Kubectl,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    trap: Callable[[], Trap],
) -> None:
    place.create(pod())
    playing.scheduled(place, POD)
    one = trap()
    one.spring = mortal.kill
    interceptor.set(one)
    place.create(task(**ANY_POD))
    one.wait()
    written = place.get("agenttask", TASK)
    (lost,) = ledgers.given(ledgers.whole(admin).of(written["metadata"]["uid"]))
    assert place.find("secret", f"agentid-{TASK}") is None

    leases.begin(mortal, interceptor.environment)

    running = story.runs(place, within=SLOWLY)
    ledgers.accounts_for(admin, running)
    assert story.leaf_serial(place.get("secret", f"agentid-{TASK}")) != lost
    playing.finish(place, POD)
    over = story.ends(place, "Completed", within=SLOWLY)
    records = ledgers.told(admin, over)
    assert lost in ledgers.taken(records)


@pytest.mark.parametrize("write", [STATUS, WIPE], ids=["before the Secret is emptied", "after it is emptied"])
def test_killed_between_an_end_and_its_record_the_end_is_recorded_all_the_same(
    place: Kubectl,
    admin: Kubectl,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    write: tuple[str, str],
) -> None:
    place.create([task(**ANY_POD), pod()])
    running = story.runs(place)
    playing.start(place, POD)
    trap = Trap(*write, answered=True, spring=mortal.kill)
    interceptor.set(trap)
    place.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
    trap.wait()
    assert "ended" not in {each.kind for each in ledgers.whole(admin).of(running["metadata"]["uid"])}

    leases.begin(mortal, interceptor.environment)

    over = story.ends(place, "Ended", within=SLOWLY)
    story.secret_emptied(place, within=SLOWLY)
    (ended,) = (each for each in ledgers.told(admin, over) if each.kind == "ended")
    assert (ended.text("reason"), ended.text("task")) == ("Ended", TASK)
    assert set(story.serials(running)) <= {serial for serial, _ in ended.revoked()}


def test_task_deleted_while_nobody_is_at_work_has_its_end_in_the_ledger(
    place: Kubectl, admin: Kubectl, mortal: OperatorProcess, interceptor: Interceptor
) -> None:
    place.create(task())
    running = story.runs(place)
    mortal.kill()
    place.delete("agenttask", TASK)

    leases.begin(mortal, interceptor.environment)

    (ended,) = (each for each in ledgers.told(admin, running) if each.kind == "ended")
    assert ended.text("reason") == "Deleted"


# Not answered, refused.


def test_answer_that_was_lost_is_known_by_its_nonce(
    place: Kubectl, admin: Kubectl, mortal: OperatorProcess, interceptor: Interceptor
) -> None:
    trap = ledgers.says("issued", TASK)
    interceptor.set(trap)
    place.create(task())
    trap.wait()

    running = story.runs(place)
    records = ledgers.accounts_for(admin, running)
    assert [each.kind for each in records if each.kind == "issued"] == ["issued"]
    assert mortal.alive()


class Hanging(Trap):
    """Holds every such request, whatever came of those before."""

    def fits(self, request: web.BaseRequest, body: bytes = b"") -> bool:
        """Is that one of them?"""
        self.sprung.clear()
        return Trap.fits(self, request, body)


@contextmanager
def refused_by_rights(admin: Kubectl, _: Interceptor) -> Iterator[None]:
    home = admin.in_namespace(NAMESPACE)
    role = home.get("role", HOME_BINDING)
    kept = [each for each in role["rules"] if "ledgerbatches" not in each["resources"]]
    reading = {"apiGroups": ["agentid.dev"], "resources": ["ledgerbatches"], "verbs": ["get", "list"]}
    home.patch("role", HOME_BINDING, {"rules": [*kept, reading]})
    try:
        yield
    finally:
        home.patch("role", HOME_BINDING, {"rules": role["rules"]})


@contextmanager
def refused_by_quota(admin: Kubectl, _: Interceptor) -> Iterator[None]:
    home = admin.in_namespace(NAMESPACE)
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "no-batches"},
        "spec": {"hard": {f"count/{ledgers.RESOURCE}": "0"}},
    }
    home.create(quota)
    try:
        home.wait_for("resourcequota", "no-batches", lambda seen: "used" in seen.get("status", {}), SLOWLY)
        yield
    finally:
        home.delete("resourcequota", "no-batches")


@contextmanager
def not_answered(_: Kubectl, interceptor: Interceptor) -> Iterator[None]:
    held = Hanging(*ledgers.POST, answered=False, let_go=Event())
    interceptor.set(held)
    try:
        yield
    finally:
        interceptor.set()
        assert held.let_go is not None
        held.let_go.set()


@pytest.mark.parametrize("broken", [refused_by_rights, refused_by_quota, not_answered])
def test_while_nothing_can_be_recorded_nothing_is_released_and_ends_go_on(
    place: Kubectl,
    admin: Kubectl,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    broken: Callable[[Kubectl, Interceptor], AbstractContextManager[None]],
) -> None:
    place.create([task("ended"), task("deleted")])
    ended, deleted = (story.runs(place, name) for name in ("ended", "deleted"))

    with broken(admin, interceptor):
        place.create(task())
        said = standing_of_ledger(place)
        assert said.startswith("nothing is issued: ")

        place.patch("agenttask", "ended", {"spec": {"state": "Ended"}})
        place.delete("agenttask", "deleted")
        story.ends(place, "Ended", "ended")
        for name in ("ended", "deleted"):
            story.secret_gone_or_empty(place, name)
        standing_of_ledger(place)
        for each in (ended, deleted):
            kinds = {record.kind for record in ledgers.whole(admin).of(each["metadata"]["uid"])}
            assert "ended" not in kinds, "it is not as broken as it should be"

    running = story.runs(place, within=SLOWLY)
    assert "Stalled" not in story.conditions(place.get("agenttask", TASK))
    ledgers.accounts_for(admin, running)
    for each in (ended, deleted):
        ledgers.told(admin, each)
    assert mortal.alive()


# Another writer.


def test_who_meets_anothers_batch_ends_says_so_and_goes_on_when_it_starts_again(
    place: Kubectl, admin: Kubectl, mortal: OperatorProcess, interceptor: Interceptor
) -> None:
    place.create(task("before"))
    before = story.runs(place, "before")
    others: list[str] = []
    trap = Trap(
        *ledgers.POST,
        answered=False,
        is_it=lambda body: ledgers.has_record(body, "issued", TASK),
        spring=lambda: others.append(ledgers.write_as_another(admin).name),
    )
    interceptor.set(trap)
    place.create(task())
    trap.wait()

    wait_until("the operator has ended itself", mortal.alive, lambda seen: not seen, within=SLOWLY)
    said = mortal.process.log.read_text()
    assert f"agentid operator: LedgerBatch {others[0]} was written by another operator" in said
    assert "Traceback" not in said
    assert place.find("secret", f"agentid-{TASK}") is None, "nothing is released"
    assert story.serials(place.get("agenttask", TASK)) == []

    leases.begin(mortal, interceptor.environment)

    running = story.runs(place, within=SLOWLY)
    for each in (running, before):
        ledgers.accounts_for(admin, each)
    written = {each.name: each for each, _ in ledgers.whole(admin).batches}
    assert written[others[0]].writer == "another"


# Tampered with.


def test_where_a_batch_was_taken_out_nothing_is_issued_and_ends_go_on(
    place: Kubectl, admin: Kubectl, mortal: OperatorProcess, interceptor: Interceptor
) -> None:
    for name in ("first", "second", "third"):
        place.create(task(name))
        story.runs(place, name)
    mortal.terminate()
    home = admin.in_namespace(NAMESPACE)
    victim = home.get(ledgers.RESOURCE, ledgers.whole(admin).batches[-2][0].name)
    with without(admin, RULE):
        once_let(lambda: home.delete(ledgers.RESOURCE, victim["metadata"]["name"]))
    try:
        mortal.start({**leases.BRIEFLY, **interceptor.environment}, wait=False)
        place.create(task())
        said = standing_of_ledger(place)
        assert f"batch {victim['spec']['sequence']}: removed" in said
        assert "agentid audit verify --cluster" in said, "what to do"
        place.patch("agenttask", "first", {"spec": {"state": "Ended"}})
        first = story.ends(place, "Ended", "first", SLOWLY)
        story.secret_gone_or_empty(place, "first")
    finally:
        restored(admin, victim)

    story.runs(place, within=SLOWLY)
    ledgers.told(admin, first)


def restored(admin: Kubectl, batch: Object) -> None:
    """Put a batch back as it was."""
    operator = admin.in_namespace(NAMESPACE).as_service_account(NAMESPACE, SERVICE_ACCOUNT)
    operator.create(as_written(batch))
