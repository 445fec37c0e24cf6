"""What the doctor makes of the admission rules: they tell for whom they are, are as installed, and act."""

import json
from typing import Any

import pytest

from agentid.api.admission import (
    AdmissionSettings,
    Found,
    OwnerKind,
    forged_task,
    learned_settings,
    rule_keys,
    rules,
)
from agentid.doctor import admission
from agentid.doctor.finding import Standing
from tests.unit.doctor_installation import SETTINGS, installed, one


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        AdmissionSettings("a", "b", mutating=False),
        AdmissionSettings("a", "b", max_ttl_seconds=99, watch_namespaces=("x", "y")),
        AdmissionSettings(
            "a", "b.c", workload_kinds=(OwnerKind("", "Pod", "pods"), OwnerKind("batch", "Job", "jobs"))
        ),
    ],
)
def test_the_rules_tell_what_they_were_installed_with(settings: AdmissionSettings) -> None:
    assert learned_settings(installed(settings)) == settings


def test_one_rule_that_names_another_operator_is_outvoted_and_told() -> None:
    found = installed(SETTINGS)
    key = ("ValidatingAdmissionPolicy", "task-status.agentid.dev")
    found[key] = json.loads(
        json.dumps(found[key]).replace(SETTINGS.operator_username, "system:serviceaccount:e:vil")
    )

    assert learned_settings(found) == SETTINGS
    told = one(admission.judge_rules(found, SETTINGS))
    assert told.standing is Standing.PROBLEM
    assert "ValidatingAdmissionPolicy task-status.agentid.dev is not as installed" in told.sentence


def test_rules_as_installed_are_well_and_say_for_whom() -> None:
    told = one(admission.judge_rules(installed(SETTINGS), SETTINGS))

    assert told.standing is Standing.OK
    assert "All 42 policies" in told.sentence
    assert SETTINGS.operator_username in told.sentence


def test_every_rule_that_is_missing_is_told() -> None:
    nothing: Found = dict.fromkeys(rule_keys())

    assert admission.settings_told(nothing, None, "agentid") == SETTINGS
    told = admission.judge_rules(nothing, SETTINGS)
    assert {each.standing for each in told} == {Standing.PROBLEM}
    assert len(told) == len(rules(SETTINGS))


ADMIN = "admin@example.com"


def answered(**spec: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    return {"kind": "AgentTask", "spec": spec}


STAMPED = answered(requester={"username": ADMIN}, stateChangedBy={"username": ADMIN})
REFUSED = {
    "kind": "Status",
    "status": "Failure",
    "reason": "Forbidden",
    "message": "ValidatingAdmissionPolicy 'kopf-annotations.agentid.dev' with binding denied request",
}
NO_NAMESPACE = {"kind": "Status", "reason": "NotFound", "message": 'namespaces "a" not found'}
REFUSED_BY_OTHERS = {
    "kind": "Status",
    "status": "Failure",
    "reason": "Forbidden",
    "message": "agenttasks.agentid.dev \"a\" is forbidden: policy 'no-agents.example.com' denied request",
}


@pytest.mark.parametrize(
    ("forged", "refused", "standing", "told"),
    [
        (STAMPED, REFUSED, Standing.OK, "stamped over"),
        (forged_task("agentid-system"), REFUSED, Standing.PROBLEM, "it was accepted as it was"),
        (STAMPED, STAMPED, Standing.PROBLEM, "a rule has to refuse was not"),
        (
            answered(requester={"username": "somebody else"}, stateChangedBy={"username": ADMIN}),
            REFUSED,
            Standing.PROBLEM,
            "was not corrected",
        ),
        (
            {
                "kind": "Status",
                "reason": "Forbidden",
                "message": 'User "a" cannot create resource "agenttasks"',
            },
            REFUSED,
            Standing.UNSEEN,
            "You may not try it",
        ),
        (NO_NAMESPACE, NO_NAMESPACE, Standing.UNSEEN, 'It could not be tried: namespaces "a" not found'),
        (REFUSED_BY_OTHERS, REFUSED, Standing.UNSEEN, "policy 'no-agents.example.com'"),
        (STAMPED, REFUSED_BY_OTHERS, Standing.UNSEEN, "policy 'no-agents.example.com'"),
        (forged_task("agentid-system"), REFUSED_BY_OTHERS, Standing.PROBLEM, "was not corrected"),
        (REFUSED, REFUSED, Standing.PROBLEM, "was not corrected"),
    ],
)
def test_forgeries(forged: dict[str, Any], refused: dict[str, Any], standing: Standing, told: str) -> None:
    tried = admission.Tried(ADMIN, forged, refused)

    found = one(admission.judge_forgeries(tried, SETTINGS, "agentid-system"))

    assert found.standing is standing
    assert told in found.sentence
