"""The operator can tell whether the rules are in force: what it reads back is what it expects, exactly."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from agentid.api.admission import (
    AdmissionObject,
    AdmissionSettings,
    differences,
    forged_task,
    is_corrected,
    is_refused,
    refused_task,
    rules,
)
from devcluster.install import NAMESPACE, SERVICE_ACCOUNT
from devcluster.kubectl import Kubectl
from tests.cluster.people import refusal

SETTINGS = AdmissionSettings(NAMESPACE, SERVICE_ACCOUNT)
RULES = rules(SETTINGS)


@pytest.fixture
def operator_account(admin: Kubectl) -> Kubectl:
    """The operator's account with its own RBAC and nothing more."""
    return admin.in_namespace(NAMESPACE).as_service_account(NAMESPACE, SERVICE_ACCOUNT)


def read(account: Kubectl, rule: AdmissionObject) -> Mapping[str, Any] | None:
    return account.find(rule.plural, rule.name)


def test_each_rule_reads_back_exactly_as_expected_with_the_operators_rights(
    operator_account: Kubectl,
) -> None:
    assert [differences(rule, read(operator_account, rule)) for rule in RULES] == [None] * len(RULES)


def test_no_rule_has_a_warning_of_the_type_checker(admin: Kubectl) -> None:
    for policy in admin.list("validatingadmissionpolicies"):
        assert policy["status"]["typeChecking"] == {}, policy["metadata"]["name"]


def test_the_operator_sees_its_forgery_corrected_and_refused(operator_account: Kubectl) -> None:
    assert is_corrected(operator_account.create(forged_task(NAMESPACE), "--dry-run=server"), SETTINGS)

    said = refusal(lambda: operator_account.create(refused_task(SETTINGS), "--dry-run=server"))
    assert is_refused({"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": said})


def test_nothing_of_a_forgery_is_kept(operator_account: Kubectl) -> None:
    operator_account.create(forged_task(NAMESPACE), "--dry-run=server")

    assert "as a dry run, or from a template" in refusal(
        lambda: operator_account.create(forged_task(NAMESPACE))
    )
    assert operator_account.list("agenttasks") == []


WEAKENED = [
    ("policy", {"failurePolicy": "Ignore"}),
    ("policy", {"matchConditions": [{"name": "never", "expression": "false"}]}),
    ("policy", {"matchConstraints": {"namespaceSelector": {"matchLabels": {"no": "where"}}}}),
    ("binding", {"validationActions": ["Audit"]}),
    ("binding", {"matchResources": {"namespaceSelector": {"matchLabels": {"no": "where"}}}}),
]


@pytest.mark.parametrize(("which", "change"), WEAKENED, ids=json.dumps)
def test_a_rule_that_an_api_server_would_weaken_is_told(
    admin: Kubectl, which: str, change: dict[str, Any]
) -> None:
    suffix = "Binding" if which == "binding" else ""
    for rule in RULES:
        stamps = rule.kind.startswith("Mutating")
        if rule.kind.endswith("Policy" + suffix) and not (stamps and "validationActions" in change):
            weak = admin.patch(rule.plural, rule.name, {"spec": change}, "--dry-run=server")
            assert differences(rule, weak) is not None, (rule.kind, rule.name)
