"""What exactly would be approved is read out of a projection, and what has changed since another one."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agentid.api.agenttask import AgentTaskSpec
from agentid.api.spec_hash import projection_text
from agentid.cli.printing import paragraphs
from agentid.cli.reviewing import Difference, difference_rows, differences, fields_of, rows
from tests.unit.cli_tasks import task

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def projection(**spec: object) -> str:
    return projection_text(AgentTaskSpec.model_validate(task(**spec)["spec"]))


def test_each_field_stands_beside_its_value_with_what_its_seconds_are() -> None:
    said = dict(rows(projection(staticSecrets=[{"name": "crm-key"}, {"name": "mail-key"}])))
    assert said["agentRef.name"] == "refund-agent"
    assert said["intent.actions"] == "refunds:create"
    assert said["intent.resources"] == "none"
    assert said["activeDeadlineSeconds"] == "3600 (1 h)"
    assert said["ttlSecondsAfterFinished"] == "86400 (24 h)"
    assert said["credential.renew"] == "true"
    assert said["staticSecrets"] == "crm-key, mail-key"


def test_what_is_gone_and_what_has_come_are_told_field_by_field() -> None:
    intent = {"purpose": "Refund", "actions": ["orders:read", "refunds:create"], "sensitivity": "Internal"}
    before = projection(intent=intent, onBehalfOf="carol@example.com")
    now = projection(
        intent={**intent, "actions": ["refunds:create", "refunds:send"], "sensitivity": "Public"}
    )
    found = differences(before, now)
    assert found == [
        Difference("intent.actions", ("orders:read",), ("refunds:send",)),
        Difference("intent.sensitivity", ("Internal",), ("Public",)),
        Difference("onBehalfOf", ("carol@example.com",), ()),
    ]
    assert list(difference_rows(found)) == [
        ("- intent.actions", "orders:read"),
        ("+ intent.actions", "refunds:send"),
        ("- intent.sensitivity", "Internal"),
        ("+ intent.sensitivity", "Public"),
        ("- onBehalfOf", "carol@example.com"),
    ]
    assert differences(now, now) == []


def test_another_order_is_a_difference() -> None:
    intent = {"purpose": "Refund", "actions": ["orders:read", "refunds:create"]}
    turned = {**intent, "actions": ["refunds:create", "orders:read"]}
    (found,) = differences(projection(intent=intent), projection(intent=turned))
    assert (found.gone, found.come) == (("orders:read", "refunds:create"), ("refunds:create", "orders:read"))


def test_a_purpose_cannot_pose_as_another_field(capsys: pytest.CaptureFixture[str]) -> None:
    sly = f"Refund {'.' * 60} intent.sensitivity          Public {'.' * 60}"
    said = projection(intent={"purpose": sly, "actions": ["refunds:create"], "sensitivity": "Restricted"})
    paragraphs("title", "bold", list(rows(said)), Console(width=80))
    lines = capsys.readouterr().out.splitlines()
    fields = [line.split()[0] for line in lines[1:] if not line.startswith("   ")]
    assert fields == sorted(fields_of(said))
    (sensitivity,) = [line.split() for line in lines if line.startswith("  intent.sensitivity")]
    assert sensitivity == ["intent.sensitivity", "Restricted"]


@given(ANYTHING, ANYTHING)
def test_whatever_was_written_as_a_projection_is_shown_without_an_error(old: object, new: object) -> None:
    try:
        texts = [orjson.dumps(each).decode() for each in (old, new)]
    except (orjson.JSONEncodeError, TypeError):
        return
    list(difference_rows(differences(*texts)))
    list(rows(texts[0]))
    assert differences(texts[0], texts[0]) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[" * 5000, "[" * 900 + "]" * 900, '{"a":' * 1000 + "1" + "}" * 1000]
)
def test_what_is_no_projection_or_too_deep_is_said_so(text: str) -> None:
    assert len(list(rows(text))) == 1


def test_what_is_very_long_is_cut_and_said_to_be() -> None:
    said = list(rows(orjson.dumps({f"f{number}": "9" * 5000 for number in range(300)}).decode()))
    assert said[-1] == ("…", "and 100 more; -o json has all")
    ((_, told),) = rows(orjson.dumps({"ttlSeconds": "9" * 5000}).decode())
    assert len(told) == 5000
