"""After a takeover only what the predecessor may have left half done is in doubt."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from agentid.api.agenttask_status import AgentTaskStatus
from agentid.controller.secret_memory import MARGIN, SecretMemory, recall
from agentid.lifecycle import renewal
from agentid.lifecycle.model import Limits, SecretState
from agentid.pki import validity
from agentid.watched.pauses import retry_pause

_UID = "11111111-1111-4111-8111-111111111111"
_AT_WORK = datetime(2026, 5, 31, 14, tzinfo=UTC)
_NEVER = datetime.fromtimestamp(0, UTC)
_LIMITS = Limits("example.org", timedelta(seconds=120), timedelta(days=1), timedelta(days=30))


def _written(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _condition(kind: str, status: str, at: datetime) -> dict[str, Any]:
    return {
        "type": kind,
        "status": status,
        "reason": "Because",
        "message": "",
        "observedGeneration": 1,
        "lastTransitionTime": _written(at),
    }


def _status(**fields: object) -> AgentTaskStatus:
    return AgentTaskStatus.model_validate_json(orjson.dumps(fields))


def _running(issued: datetime, *conditions: dict[str, Any]) -> AgentTaskStatus:
    credential = {
        "generation": 2,
        "serial": "ab",
        # A certificate begins 60 s before it is issued.
        "notBefore": _written(issued - timedelta(seconds=60)),
        "notAfter": _written(issued + timedelta(hours=1)),
    }
    return _status(credentialGeneration=2, credentials=[credential], conditions=list(conditions))


def _ended(at: datetime, *conditions: dict[str, Any]) -> AgentTaskStatus:
    return _status(credentialGeneration=2, endTime=_written(at), conditions=list(conditions))


def _suspended(at: datetime, *conditions: dict[str, Any]) -> AgentTaskStatus:
    taken_away = _condition("CredentialIssued", "False", at)
    return _status(credentialGeneration=1, conditions=[taken_away, *conditions])


def _recalled(
    status: AgentTaskStatus, *, at_work: datetime = _AT_WORK, margin: timedelta = MARGIN, pod: bool = False
) -> SecretMemory:
    memory = SecretMemory()
    recall(
        memory,
        task_uid=_UID,
        status=status,
        last_at_work=at_work,
        margin=margin,
        limits=_LIMITS,
        pod_lives=pod,
    )
    return memory


def _before(seconds: int) -> datetime:
    return _AT_WORK - timedelta(seconds=seconds)


_STALLED = _condition("Stalled", "True", _before(9999))

CASES = [
    ("never issued", _status(), False, SecretState.ABSENT),
    ("issued long before", _running(_before(91)), False, SecretState.FILLED),
    ("issued just before", _running(_before(89)), False, SecretState.DOUBTFUL),
    ("issued after the last sign of life", _running(_before(-9)), False, SecretState.DOUBTFUL),
    ("issued long before, but stalled", _running(_before(999), _STALLED), False, SecretState.DOUBTFUL),
    ("ended long before", _ended(_before(211)), False, SecretState.ABSENT),
    ("ended within the wipe", _ended(_before(209)), False, SecretState.EMPTIED),
    ("ended just before", _ended(_before(89)), False, SecretState.DOUBTFUL),
    ("ended long before, but stalled", _ended(_before(999), _STALLED), False, SecretState.DOUBTFUL),
    ("ended long before, a pod lives", _ended(_before(999)), True, SecretState.ABSENT),
    ("ended within the wipe, a pod lives", _ended(_before(209)), True, SecretState.EMPTIED),
    ("ended within the wipe, but stalled", _ended(_before(209), _STALLED), True, SecretState.DOUBTFUL),
    ("ended just before, a pod lives", _ended(_before(89)), True, SecretState.DOUBTFUL),
    ("suspended long before", _suspended(_before(999)), False, SecretState.ABSENT),
    ("suspended long before, a pod lives", _suspended(_before(999)), True, SecretState.EMPTIED),
    ("suspended long before, but stalled", _suspended(_before(999), _STALLED), True, SecretState.DOUBTFUL),
    ("suspended just before", _suspended(_before(9)), False, SecretState.DOUBTFUL),
    ("suspended just before, a pod lives", _suspended(_before(9)), True, SecretState.DOUBTFUL),
    ("taken away nobody knows when", _status(credentialGeneration=1), False, SecretState.DOUBTFUL),
]


@pytest.mark.parametrize(("status", "pod", "state"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_what_is_known_of_a_secret_after_a_takeover(
    status: AgentTaskStatus, *, pod: bool, state: SecretState
) -> None:
    assert _recalled(status, pod=pod).state is state


def test_where_nobody_knows_who_was_at_work_everything_issued_is_in_doubt() -> None:
    assert _recalled(_running(_before(99_999)), at_work=_NEVER).state is SecretState.DOUBTFUL
    assert _recalled(_ended(_before(99_999)), at_work=_NEVER).state is SecretState.DOUBTFUL
    assert _recalled(_status(), at_work=_NEVER).state is SecretState.ABSENT


def test_after_a_predecessor_that_left_nothing_half_done_nothing_is_in_doubt_but_what_failed() -> None:
    def of(status: AgentTaskStatus) -> SecretState | None:
        return _recalled(status, margin=timedelta(), pod=True).state

    assert of(_running(_before(1))) is SecretState.FILLED
    assert of(_suspended(_before(1))) is SecretState.EMPTIED
    assert of(_ended(_before(1))) is SecretState.EMPTIED
    assert of(_ended(_before(121))) is SecretState.ABSENT
    assert of(_running(_before(1), _STALLED)) is SecretState.DOUBTFUL


def test_margin_is_longer_than_any_pause_between_two_attempts() -> None:
    assert timedelta(seconds=retry_pause(99, 1.0)) < MARGIN


def test_credential_that_an_earlier_operator_recorded_after_the_takeover_is_in_doubt() -> None:
    memory = _recalled(_status())
    memory.check(_UID, 0)
    assert memory.state is SecretState.ABSENT
    memory.check(_UID, 1)
    assert memory.state is SecretState.DOUBTFUL


def test_credential_that_was_recalled_or_written_since_is_no_news() -> None:
    memory = _recalled(_running(_before(999)))
    memory.check(_UID, 2)
    assert memory.state is SecretState.FILLED
    memory.account_for(_UID, 3)
    memory.check(_UID, 3)
    assert memory.state is SecretState.FILLED
    memory.check(_UID, 4)
    assert memory.state is SecretState.DOUBTFUL


def test_credentials_of_one_task_say_nothing_of_the_next_ones_of_its_name() -> None:
    memory = _recalled(_running(_before(999)))
    memory.absent()
    memory.check("another", 1)
    assert memory.facts_for("another").state is SecretState.DOUBTFUL


def test_what_is_sure_is_the_newest_credential() -> None:
    assert _recalled(_running(_before(999))).facts_for(_UID).generation == 2


def test_a_secret_emptied_before_a_takeover_is_emptied_since_then() -> None:
    memory = _recalled(_suspended(_before(999)), pod=True)
    assert memory.facts_for(_UID).emptied_at == _before(999)
    assert memory.version is None


def test_the_two_layers_agree_on_how_long_before_its_issue_a_certificate_begins() -> None:
    # The rules may not import what makes certificates.
    assert renewal.BACKDATE == validity.BACKDATE
