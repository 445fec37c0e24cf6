"""The memory of a Secret stays true whatever becomes of a write; nothing foreign is filled or taken over."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ApiAnswerError,
    ConflictError,
    ConnectionLostError,
    FixedFieldError,
    ForbiddenError,
    InvalidError,
    NotFoundError,
    TooManyRequestsError,
)
from agentid.cluster.secrets import SecretManifest, Secrets, Version
from agentid.controller.secret_keeper import SecretKeeper
from agentid.controller.secret_memory import SecretMemory
from agentid.lifecycle.model import SecretFacts, SecretState
from agentid.pki.authority import AuthorityMaterial, CertificateAuthority
from agentid.pki.files import PRIVATE_KEY_FILE
from agentid.pki.spiffe_id import SpiffeId, TrustDomain
from agentid.pki.svid import X509Svid, issue_x509_svid

OURS = "operator-secrets.agentid.dev"
_NOW = datetime(2026, 5, 31, 14, tzinfo=UTC)
_DOMAIN = TrustDomain("example.org")
_MINE = "11111111-1111-4111-8111-111111111111"
_OTHER = "22222222-2222-4222-8222-222222222222"


class SecretsInMemory(Secrets):
    """One Secret name with the rules of the API server and of admission; replies can be lost on the way."""

    def __init__(self) -> None:
        self.there: tuple[Version, SecretManifest] | None = None
        self.calls: list[str] = []
        self.lose_after: str | None = None
        self.lose_before: str | None = None
        self.refuse: ApiAnswerError | None = None
        self._counter = 0

    @property
    def key(self) -> bytes:
        return self.there[1].files[PRIVATE_KEY_FILE] if self.there else b""

    def put(self, manifest: SecretManifest, uid: str) -> Version:
        self._counter += 1
        version = Version(uid, str(self._counter))
        self.there = (version, manifest)
        return version

    def _begin(self, call: str) -> None:
        self.calls.append(call)
        if self.refuse is not None:
            raise self.refuse
        if self.lose_before == call:
            raise ConnectionLostError(call)

    def _end(self, call: str) -> None:
        if self.lose_after == call:
            raise ConnectionLostError(call)

    async def create(self, manifest: SecretManifest) -> Version:
        self._begin("create")
        if self.there is not None:
            raise AlreadyExistsError("create")
        version = self.put(manifest, f"s-{self._counter}")
        self._end("create")
        return version

    async def replace(self, manifest: SecretManifest, version: Version | None) -> Version:
        self._begin("replace")
        if self.there is None:
            raise NotFoundError("replace")
        if version is not None and self.there[0] != version:
            raise ConflictError("replace")
        if any(manifest.files.values()) and self.there[1].task_uid != manifest.task_uid:
            raise AdmissionRefusedError("replace", OURS)
        new = self.put(manifest, self.there[0].uid)
        self._end("replace")
        return new

    async def try_create(self, manifest: SecretManifest) -> None:  # noqa: ARG002 - one name only
        self._begin("try_create")
        if self.there is not None:
            raise AlreadyExistsError("try_create")

    async def own_version(self, manifest: SecretManifest) -> Version | None:
        self._begin("own_version")
        if self.there is None:
            raise NotFoundError("own_version")
        return self.there[0] if self.there[1].task_uid == manifest.task_uid else None

    async def delete(self, namespace: str, name: str, uid: str) -> None:  # noqa: ARG002 - one name only
        self._begin("delete")
        if self.there is not None:
            if self.there[0].uid != uid:
                raise ConflictError("delete")
            self.there = None
        self._end("delete")


@pytest.fixture(scope="module")
def make_svid() -> Callable[[], X509Svid]:
    authority = CertificateAuthority.load(AuthorityMaterial.create(_DOMAIN, _NOW), _DOMAIN, _NOW)
    spiffe_id = SpiffeId.for_task(_DOMAIN, "ns", "a", _MINE)
    return lambda: issue_x509_svid(
        authority, spiffe_id, now=_NOW, ttl=timedelta(minutes=5), not_after_limit=_NOW + timedelta(hours=1)
    )


def _keeper(secrets: Secrets, memory: SecretMemory, task_uid: str = _MINE) -> SecretKeeper:
    return SecretKeeper(
        secrets,
        memory,
        namespace="ns",
        task_name="t",
        task_uid=task_uid,
        trust_domain=_DOMAIN,
        clock=lambda: _NOW,
    )


async def _yes() -> bool:
    return True


async def _no() -> bool:
    return False


async def test_fill_renew_empty_and_delete_take_one_request_each(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    keeper, first, second = _keeper(secrets, memory), make_svid(), make_svid()
    await keeper.fill(first, 1, (), _yes)
    assert secrets.key == first.private_key_pem
    await keeper.fill(second, 2, (), _yes)
    assert secrets.key == second.private_key_pem
    assert memory.facts_for(_MINE).generation == 2
    await keeper.empty(())
    assert secrets.key == b""
    assert memory.facts_for(_MINE).emptied_at == _NOW
    await keeper.delete(())
    assert secrets.there is None
    assert memory.facts_for(_MINE).state is SecretState.ABSENT
    assert secrets.calls == ["create", "replace", "replace", "delete"]


@pytest.mark.parametrize("when", ["lose_before", "lose_after"])
@pytest.mark.parametrize("action", ["create", "replace", "empty", "delete"])
async def test_a_lost_reply_leaves_doubt_and_the_next_wipe_leaves_nothing(
    make_svid: Callable[[], X509Svid], action: str, when: str
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    keeper = _keeper(secrets, memory)
    if action != "create":
        await keeper.fill(make_svid(), 1, (), _yes)
    setattr(secrets, when, "replace" if action == "empty" else action)
    with pytest.raises(ConnectionLostError):
        await _act(keeper, action, make_svid())
    assert memory.facts_for(_MINE).state is SecretState.DOUBTFUL
    setattr(secrets, when, None)
    await keeper.delete(())
    assert secrets.there is None
    assert memory.facts_for(_MINE).state is SecretState.ABSENT


async def _act(keeper: SecretKeeper, action: str, svid: X509Svid) -> None:
    if action in {"create", "replace"}:
        await keeper.fill(svid, 2, (), _yes)
    elif action == "empty":
        await keeper.empty(())
    else:
        await keeper.delete(())


async def test_a_leftover_of_the_same_task_is_filled_by_one_write(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    afterwards, newest = SecretMemory(), make_svid()
    afterwards.filled(_MINE, 1, None)
    assert await _keeper(secrets, afterwards).fill(newest, 2, (), _yes)
    assert secrets.key == newest.private_key_pem
    assert secrets.calls == ["create", "create", "own_version", "replace"]


async def test_a_superseded_operator_changes_nothing_and_knows_that_it_knows_nothing(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, theirs = SecretsInMemory(), SecretMemory(), make_svid()
    memory.absent()
    await _keeper(secrets, memory).fill(theirs, 1, (), _yes)
    late = SecretMemory()
    late.absent()
    assert not await _keeper(secrets, late).fill(make_svid(), 2, (), _no)
    assert secrets.key == theirs.private_key_pem
    assert late.facts_for(_MINE).state is SecretState.DOUBTFUL


async def test_a_key_is_never_written_over_what_another_wrote_meanwhile(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, winner = SecretsInMemory(), SecretMemory(), make_svid()
    memory.absent()
    await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    late = SecretMemory()
    late.absent()

    async def overtaken() -> bool:
        other = SecretMemory()
        other.filled(_MINE, 1, secrets.there[0] if secrets.there else None)
        await _keeper(secrets, other).fill(winner, 2, (), _yes)
        return True

    with pytest.raises(ConflictError):
        await _keeper(secrets, late).fill(make_svid(), 2, (), overtaken)
    assert secrets.key == winner.private_key_pem
    assert late.facts_for(_MINE).state is SecretState.DOUBTFUL


async def test_another_tasks_secret_is_neither_filled_nor_wiped_for_a_new_one(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, theirs = SecretsInMemory(), SecretMemory(), make_svid()
    memory.absent()
    await _keeper(secrets, memory, _OTHER).fill(theirs, 1, (), _yes)
    mine = SecretMemory()
    mine.absent()
    assert not await _keeper(secrets, mine).fill(make_svid(), 1, (), _yes)
    assert mine.facts_for(_MINE).state is SecretState.TAKEN
    assert secrets.key == theirs.private_key_pem


@pytest.mark.parametrize(
    ("owner", "state"),
    [(None, SecretState.ABSENT), (_MINE, SecretState.FILLED), (_OTHER, SecretState.TAKEN)],
)
async def test_a_probe_tells_absent_own_and_foreign_apart(
    make_svid: Callable[[], X509Svid], owner: str | None, state: SecretState
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    if owner is not None:
        before = SecretMemory()
        before.absent()
        await _keeper(secrets, before, owner).fill(make_svid(), 1, (), _yes)
    memory.doubtful(_MINE)
    key = secrets.key
    await _keeper(secrets, memory).probe(1)
    assert memory.facts_for(_MINE).state is state
    assert secrets.key == key


async def test_what_a_probe_found_needs_no_second_question(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    memory.doubtful(_MINE)
    await _keeper(secrets, memory).probe(1)
    await _keeper(secrets, memory).delete(())
    assert secrets.there is None
    assert secrets.calls == ["create", "own_version", "delete"]


async def test_a_predecessors_secret_is_deleted_though_its_successor_looked_for_the_name(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    predecessor, successor = _keeper(secrets, memory, _OTHER), _keeper(secrets, memory)
    await predecessor.fill(make_svid(), 1, (), _yes)
    await predecessor.empty(())
    await successor.probe(0)
    assert memory.facts_for(_MINE).state is SecretState.TAKEN
    assert memory.facts_for(_OTHER).emptied_at == _NOW
    await predecessor.delete(())
    assert secrets.there is None
    assert memory.facts_for(_MINE).state is SecretState.ABSENT


async def test_a_successor_sees_that_the_name_became_free(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await _keeper(secrets, memory, _OTHER).fill(make_svid(), 1, (), _yes)
    secrets.there = None
    await _keeper(secrets, memory).probe(0)
    assert memory.facts_for(_MINE).state is SecretState.ABSENT


async def test_what_is_filled_is_accounted_for_even_where_no_answer_comes(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    secrets.lose_after = "create"
    with pytest.raises(ConnectionLostError):
        await _keeper(secrets, memory).fill(make_svid(), 3, (), _yes)
    assert not memory.account_for(_MINE, 3)
    assert memory.account_for(_MINE, 4)


async def test_emptying_what_is_not_there_finds_that_out() -> None:
    memory = SecretMemory()
    memory.doubtful(_MINE)
    await _keeper(SecretsInMemory(), memory).empty(())
    assert memory.facts_for(_MINE).state is SecretState.ABSENT


async def test_a_secret_that_a_predecessor_emptied_is_deleted_by_its_uid(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    memory.emptied(_MINE, _NOW - timedelta(hours=1), None)
    await _keeper(secrets, memory).delete(())
    assert secrets.there is None
    assert secrets.calls == ["create", "replace", "delete"]


async def test_a_secret_that_a_predecessor_emptied_is_filled_again(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory, svid = SecretsInMemory(), SecretMemory(), make_svid()
    memory.absent()
    await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    memory.emptied(_MINE, _NOW - timedelta(hours=1), None)
    assert await _keeper(secrets, memory).fill(svid, 2, (), _yes)
    assert secrets.key == svid.private_key_pem


async def test_emptied_again_the_first_time_counts() -> None:
    memory = SecretMemory()
    memory.emptied(_MINE, _NOW, Version("s", "1"))
    memory.emptied(_MINE, _NOW + timedelta(seconds=9), Version("s", "2"))
    assert memory.facts_for(_MINE).emptied_at == _NOW


def test_a_predecessors_secret_looks_taken_to_the_next_task_of_the_name() -> None:
    memory = SecretMemory()
    memory.filled(_OTHER, 3, None)
    assert memory.facts_for(_MINE).state is SecretState.TAKEN
    assert memory.facts_for(_OTHER).generation == 3


REFUSALS = [
    AdmissionRefusedError("frozen", "change-freeze.example.com"),
    ForbiddenError("exceeded quota"),
    InvalidError("422"),
    FixedFieldError("immutable"),
    TooManyRequestsError("busy", 1.0),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("action", ["fill", "empty", "delete", "probe"])
async def test_a_refusal_leaves_what_is_known_as_it_was_and_never_makes_it_anothers(
    make_svid: Callable[[], X509Svid], action: str, refusal: ApiAnswerError
) -> None:
    secrets, memory, svid = SecretsInMemory(), SecretMemory(), make_svid()
    memory.absent()
    keeper = _keeper(secrets, memory)
    await keeper.fill(svid, 1, (), _yes)
    secrets.refuse = refusal

    with pytest.raises(type(refusal)):
        await (keeper.probe(1) if action == "probe" else _act(keeper, _AS[action], svid))

    assert memory.facts_for(_MINE) == SecretFacts(SecretState.FILLED, generation=1)
    secrets.refuse = None
    await keeper.delete(())
    assert secrets.there is None


_AS = {"fill": "replace", "empty": "empty", "delete": "delete"}


async def test_a_refused_first_write_leaves_nothing_and_no_doubt(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    secrets.refuse = ForbiddenError("exceeded quota")
    with pytest.raises(ForbiddenError):
        await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    assert memory.facts_for(_MINE).state is SecretState.ABSENT


async def test_a_refused_renewal_over_a_leftover_leaves_what_the_status_says(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    afterwards = SecretMemory()
    afterwards.filled(_MINE, 1, None)

    async def then_frozen() -> bool:
        secrets.refuse = AdmissionRefusedError("frozen", "change-freeze.example.com")
        return True

    with pytest.raises(AdmissionRefusedError):
        await _keeper(secrets, afterwards).fill(make_svid(), 2, (), then_frozen)
    assert afterwards.facts_for(_MINE) == SecretFacts(SecretState.FILLED, generation=1)


async def test_a_planted_secret_of_another_type_is_taken_unless_it_was_this_tasks_own() -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    secrets.refuse = FixedFieldError("type: field is immutable")
    memory.doubtful(_MINE)
    await _keeper(secrets, memory).empty(())
    assert memory.facts_for(_MINE).state is SecretState.TAKEN
    memory.filled(_MINE, 1, None)
    memory.doubtful(_MINE)
    with pytest.raises(FixedFieldError):
        await _keeper(secrets, memory).empty(())
    assert memory.facts_for(_MINE).state is SecretState.DOUBTFUL


async def test_a_dry_run_does_not_make_ones_own_secret_anothers(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory, planted = SecretsInMemory(), SecretMemory(), SecretMemory()
    memory.absent()
    planted.absent()
    await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    secrets.there = None
    await _keeper(secrets, planted, _OTHER).fill(make_svid(), 1, (), _yes)
    for _ in range(3):
        with pytest.raises(ConflictError):
            await _keeper(secrets, memory).fill(make_svid(), 2, (), _yes)
        assert memory.facts_for(_MINE).state is SecretState.DOUBTFUL
    await _keeper(secrets, memory).delete(())
    assert secrets.there is None, "what has the name is emptied, and goes"


@pytest.mark.parametrize(("written", "generation"), [(False, 1), (True, 2)])
async def test_what_another_operator_recorded_is_looked_for(
    make_svid: Callable[[], X509Svid], *, written: bool, generation: int
) -> None:
    secrets, memory, theirs = SecretsInMemory(), SecretMemory(), SecretMemory()
    memory.absent()
    await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)
    memory.check(_MINE, 1)
    assert memory.facts_for(_MINE).generation == 1, "one's own is accounted for"
    memory.check(_MINE, 2)
    assert memory.facts_for(_MINE) == SecretFacts(SecretState.DOUBTFUL, overtaken=True)
    if written:
        theirs.filled(_MINE, 1, None)
        await _keeper(secrets, theirs).fill(make_svid(), 2, (), _yes)
    await _keeper(secrets, memory).probe(2)
    assert memory.facts_for(_MINE) == SecretFacts(SecretState.FILLED, generation=generation)


async def test_what_is_tried_before_a_renewal_changes_nothing_that_is_known(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    keeper = _keeper(secrets, memory)
    await keeper.fill(make_svid(), 1, (), _yes)
    await keeper.probe(2)
    assert memory.facts_for(_MINE) == SecretFacts(SecretState.FILLED, generation=1)
    await keeper.empty(())
    await keeper.probe(2)
    assert memory.facts_for(_MINE) == SecretFacts(SecretState.EMPTIED, emptied_at=_NOW)
    memory.doubtful(_MINE)
    await keeper.probe(2)
    assert memory.facts_for(_MINE) == SecretFacts(SecretState.DOUBTFUL)


@pytest.mark.parametrize("lost", [True, False])
async def test_what_could_not_be_wiped_of_a_predecessor_is_not_forgotten_for_its_successor(
    make_svid: Callable[[], X509Svid], *, lost: bool
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    await _keeper(secrets, memory, _OTHER).fill(make_svid(), 1, (), _yes)
    after_restart = SecretMemory()
    predecessor, successor = _keeper(secrets, after_restart, _OTHER), _keeper(secrets, after_restart)
    secrets.refuse = ConnectionLostError("empty") if lost else ForbiddenError("frozen")
    with pytest.raises(type(secrets.refuse)):
        await predecessor.delete(())
    secrets.refuse = None
    assert after_restart.facts_for(_MINE) == SecretFacts(SecretState.TAKEN, predecessors=True)

    await successor.probe(0)

    assert after_restart.facts_for(_OTHER).state is SecretState.DOUBTFUL
    await predecessor.delete(())
    assert secrets.there is None


class LateSecrets(SecretsInMemory):
    """The first request to create is lost on its way, and carried out when `comes` is called."""

    def __init__(self) -> None:
        super().__init__()
        self.late: SecretManifest | None = None
        self.lose_before = "create"

    async def create(self, manifest: SecretManifest) -> Version:
        if self.lose_before == "create":
            self.late = manifest
        return await super().create(manifest)

    async def comes(self) -> None:
        """Carry the first request out after all, if the name is free."""
        self.lose_before = None
        if self.late is not None and self.there is None:
            await super().create(self.late)


async def _lost(make_svid: Callable[[], X509Svid]) -> tuple[LateSecrets, SecretMemory, SecretKeeper]:
    secrets, memory = LateSecrets(), SecretMemory()
    memory.absent()
    keeper = _keeper(secrets, memory)
    with pytest.raises(ConnectionLostError):
        await keeper.fill(make_svid(), 1, (), _yes)
    secrets.lose_before = None
    return secrets, memory, keeper


async def test_name_is_held_by_an_empty_secret_while_one_may_still_come(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, keeper = await _lost(make_svid)
    await keeper.probe(1)
    assert memory.facts_for(_MINE) == SecretFacts(SecretState.ABSENT, unanswered_at=_NOW)
    assert memory.facts_for(_OTHER).unanswered_at is None

    await keeper.empty((), hold=True)

    assert memory.facts_for(_MINE) == SecretFacts(SecretState.EMPTIED, emptied_at=_NOW, unanswered_at=_NOW)
    await secrets.comes()
    assert secrets.key == b""
    await keeper.delete(())
    assert secrets.there is None


async def test_one_that_may_still_come_is_not_forgotten_when_another_was_written(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, keeper = await _lost(make_svid)
    await keeper.probe(1)
    await keeper.fill(make_svid(), 2, (), _yes)

    await keeper.empty((), hold=True)
    await secrets.comes()

    assert memory.facts_for(_MINE).unanswered_at == _NOW
    assert secrets.key == b""


async def test_one_that_came_before_the_next_try_is_awaited_no_more(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, keeper = await _lost(make_svid)
    await keeper.probe(1)
    await secrets.comes()

    assert await keeper.fill(make_svid(), 2, (), _yes)

    assert memory.facts_for(_MINE) == SecretFacts(SecretState.FILLED, generation=2)


async def test_one_that_was_found_is_awaited_no_more(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory, keeper = await _lost(make_svid)
    await secrets.comes()

    await keeper.probe(1)

    assert memory.facts_for(_MINE) == SecretFacts(SecretState.FILLED, generation=1)


async def test_one_that_is_found_while_it_is_emptied_is_awaited_no_more(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, keeper = await _lost(make_svid)
    await secrets.comes()

    await keeper.empty((), hold=True)

    assert secrets.key == b""
    assert memory.facts_for(_MINE) == SecretFacts(SecretState.EMPTIED, emptied_at=_NOW)


async def test_of_two_that_may_come_one_is_awaited_when_the_other_was_found(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, keeper = await _lost(make_svid)
    await keeper.probe(1)
    secrets.lose_after = "create"
    with pytest.raises(ConnectionLostError):
        await keeper.fill(make_svid(), 2, (), _yes)

    await keeper.empty((), hold=True)

    assert memory.facts_for(_MINE) == SecretFacts(SecretState.EMPTIED, emptied_at=_NOW, unanswered_at=_NOW)


async def test_one_secret_that_is_found_twice_is_one_that_came(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory, keeper = await _lost(make_svid)
    await keeper.probe(1)
    secrets.lose_before = "create"
    with pytest.raises(ConnectionLostError):
        await keeper.fill(make_svid(), 2, (), _yes)
    await secrets.comes()

    await keeper.probe(2)
    assert await keeper.fill(make_svid(), 3, (), _yes)

    assert memory.facts_for(_MINE) == SecretFacts(SecretState.FILLED, generation=3, unanswered_at=_NOW)


async def test_one_that_was_answered_is_not_taken_for_the_one_that_may_come(
    make_svid: Callable[[], X509Svid],
) -> None:
    secrets, memory, keeper = await _lost(make_svid)
    await keeper.probe(1)
    assert await keeper.fill(make_svid(), 2, (), _yes)
    secrets.lose_after = "replace"
    with pytest.raises(ConnectionLostError):
        await keeper.fill(make_svid(), 3, (), _yes)

    await keeper.probe(3)

    assert memory.facts_for(_MINE).unanswered_at == _NOW


async def test_name_is_not_held_by_what_is_deleted_anyway(make_svid: Callable[[], X509Svid]) -> None:
    secrets, memory, keeper = await _lost(make_svid)

    assert not await keeper.delete(())

    assert memory.facts_for(_MINE).state is SecretState.ABSENT
    assert secrets.there is None


@pytest.mark.parametrize("refusal", [ForbiddenError("no"), TooManyRequestsError("busy", 1.0)])
async def test_one_that_was_refused_is_not_awaited(
    make_svid: Callable[[], X509Svid], refusal: ApiAnswerError
) -> None:
    secrets, memory = SecretsInMemory(), SecretMemory()
    memory.absent()
    secrets.refuse = refusal
    with pytest.raises(type(refusal)):
        await _keeper(secrets, memory).fill(make_svid(), 1, (), _yes)

    assert memory.facts_for(_MINE).unanswered_at is None
