"""The admission rules as text: as the chart has them, compared exactly, and proved by two forgeries."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from agentid.api import names
from agentid.api.admission import (
    AdmissionObject,
    AdmissionSettings,
    OwnerKind,
    differences,
    forged_task,
    is_corrected,
    is_refused,
    refused_task,
    rule_names,
    rules,
)
from agentid.api.errors import AdmissionSettingsError

SETTINGS = AdmissionSettings("agentid-system", "agentid")
RULES = rules(SETTINGS)
ROOT = Path(__file__).parents[2]
POLICIES = ROOT / "operator/agentid/api/admission/policies"
CHART = ROOT / "charts/agentid"


def installed(rule: AdmissionObject) -> dict[str, Any]:
    """The object as an API server answers it."""
    found = copy.deepcopy(rule.manifest)
    found["metadata"] |= {"uid": "u", "resourceVersion": "1", "labels": {"a": "b"}}
    return found | {"status": {"observedGeneration": 1}}


def test_every_source_file_is_a_rule() -> None:
    assert {path.stem for path in POLICIES.iterdir()} == set(rule_names())


@pytest.mark.parametrize("mutating", [True, False])
def test_each_policy_is_followed_by_its_binding(mutating: bool) -> None:  # noqa: FBT001 - parametrized
    found = rules(AdmissionSettings("agentid-system", "agentid", mutating=mutating))

    for policy, binding in zip(found[::2], found[1::2], strict=True):
        assert binding.kind == f"{policy.kind}Binding"
        assert binding.name == policy.name == binding.spec["policyName"]
        assert policy.spec["failurePolicy"] == "Fail"
        assert binding.spec.get("validationActions", ["Deny"]) == ["Deny"]
        assert "matchResources" not in binding.spec
    assert len({(each.kind, each.name) for each in found}) == len(found)
    assert any(each.kind == "MutatingAdmissionPolicy" for each in found) == mutating


def test_no_placeholder_is_left() -> None:
    assert "@" not in json.dumps([rule.spec for rule in RULES]).replace("@example.com", "")


def test_settings_reach_the_rules() -> None:
    settings = AdmissionSettings("here", "someone", max_ttl_seconds=77)
    text = json.dumps([rule.spec for rule in rules(settings)])

    assert "system:serviceaccount:here:someone" in text
    assert "ttlSeconds <= 77" in text
    assert "agentid-system" not in text


@pytest.mark.parametrize("name", ["", "a'b", "a b", "A", "a:b", "a\n", "-a", "x" * 254])
def test_a_name_that_could_change_a_rule_is_refused(name: str) -> None:
    with pytest.raises(AdmissionSettingsError, match="no namespace or service account"):
        AdmissionSettings(name, "agentid")
    with pytest.raises(AdmissionSettingsError, match="no namespace or service account"):
        AdmissionSettings("agentid-system", name)


@pytest.mark.parametrize("name", ["", "a'b", "a b", "A", "a, b", "a\n", "-a"])
def test_a_namespace_that_could_change_a_rule_is_refused(name: str) -> None:
    with pytest.raises(AdmissionSettingsError, match="no namespace or service account"):
        AdmissionSettings("agentid-system", "agentid", watch_namespaces=("support", name))


@pytest.mark.parametrize(
    ("group", "kind", "resource"),
    [
        ("ba'tch", "Job", "jobs"),
        ("Batch", "Job", "jobs"),
        ("batch/v1", "Job", "jobs"),
        ("batch", "job", "jobs"),
        ("batch", "Job'", "jobs"),
        ("batch", "Job\n", "jobs"),
        ("batch", "", "jobs"),
        ("batch", "Job", "jobs/status"),
        ("batch", "Job", "Jobs"),
        ("batch", "Job", ""),
    ],
)
def test_a_kind_that_could_change_a_rule_is_refused(group: str, kind: str, resource: str) -> None:
    with pytest.raises(AdmissionSettingsError, match="is no kind of object, such as group 'batch'"):
        OwnerKind(group, kind, resource)


def test_kinds_and_namespaces_reach_the_rules_in_one_order() -> None:
    sandbox, pod_of_core = OwnerKind("agents.x-k8s.io", "Sandbox", "sandboxes"), OwnerKind("", "Pod", "pods")

    def text(kinds: tuple[OwnerKind, ...], namespaces: tuple[str, ...]) -> str:
        settings = AdmissionSettings("here", "me", watch_namespaces=namespaces, workload_kinds=kinds)
        return json.dumps([rule.spec for rule in rules(settings)])

    one = text((sandbox, pod_of_core), ("support", "sales"))
    assert "['sales', 'support']" in one
    assert (
        "[{'group': '', 'kind': 'Pod', 'resource': 'pods'}, "
        "{'group': 'agents.x-k8s.io', 'kind': 'Sandbox', 'resource': 'sandboxes'}]"
    ) in one
    assert one == text((pod_of_core, sandbox, sandbox), ("sales", "support", "sales"))
    assert one != text((sandbox,), ("support", "sales"))
    assert one != text((sandbox, pod_of_core), ("support",))


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(AdmissionSettingsError, match="max_ttl_seconds must be at least 1, not 0"):
        AdmissionSettings("agentid-system", "agentid", max_ttl_seconds=0)


def test_names_in_the_rules_are_those_of_the_code() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in POLICIES.iterdir())

    for name in (
        names.TASK_LABEL,
        names.TASK_UID_LABEL,
        names.CREDENTIAL_FOLDER,
        names.CREDENTIAL_VOLUME,
        *names.OWN_SECRETS,
        f"'{names.SECRET_PREFIX}'",
    ):
        assert name in text
    assert not any(name.startswith(names.SECRET_PREFIX) for name in names.OWN_SECRETS)


# Differences.


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.name}")
def test_a_rule_as_installed_is_in_force(rule: AdmissionObject) -> None:
    assert differences(rule, installed(rule)) is None


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.name}")
def test_a_missing_or_leaving_rule_is_told(rule: AdmissionObject) -> None:
    leaving = installed(rule)
    leaving["metadata"]["deletionTimestamp"] = "2026-05-31T14:00:00Z"

    assert differences(rule, None) == f"{rule.kind} {rule.name} is missing; install the chart again"
    assert differences(rule, leaving) == f"{rule.kind} {rule.name} is being deleted; install the chart again"
    assert differences(rule, {"metadata": {"name": rule.name}}) is not None
    assert differences(rule, installed(rule) | {"metadata": {"name": "x"}}) is not None
    assert differences(rule, {}) is not None


def leaves(part: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    if isinstance(part, dict) and part:
        return [leaf for key in part for leaf in leaves(part[key], (*path, key))]
    if isinstance(part, list) and part:
        return [leaf for number, each in enumerate(part) for leaf in leaves(each, (*path, number))]
    return [path]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.kind}-{rule.name}")
def test_a_change_anywhere_in_a_rule_is_told(rule: AdmissionObject) -> None:
    for path in leaves(rule.spec):
        weakened = installed(rule)
        part = weakened["spec"]
        for step in path[:-1]:
            part = part[step]
        part[path[-1]] = "weakened"

        said = differences(rule, weakened) or ""
        assert said.startswith(f"{rule.kind} {rule.name} is not as installed, {path[0]} of its spec differ")


@pytest.mark.parametrize("rule", RULES[1::2], ids=lambda rule: f"{rule.kind}-{rule.name}")
@pytest.mark.parametrize(
    "more",
    [
        {"validationActions": ["Deny", "Audit"]},
        {"validationActions": ["Warn"]},
        {"validationActions": []},
        {"matchResources": {"namespaceSelector": {"matchLabels": {"a": "b"}}}},
        {"paramRef": {"name": "p"}},
    ],
    ids=json.dumps,
)
def test_a_narrowed_or_softened_binding_is_told(rule: AdmissionObject, more: dict[str, Any]) -> None:
    found = installed(rule)
    found["spec"] |= more

    assert differences(rule, found) is not None


def test_true_is_not_one() -> None:
    rule = AdmissionObject("ValidatingAdmissionPolicy", "x", {"a": [{"b": 1}]})

    assert differences(rule, {"metadata": {"name": "x"}, "spec": {"a": [{"b": True}]}}) is not None


# The proofs.


def stamped(**over: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of an answer
    """The answer of an API server that stamps."""
    answer = forged_task("agentid-system")
    me = SETTINGS.operator_username
    answer["spec"] |= {
        "requester": {"username": me, "groups": ["system:authenticated"], "intentGeneration": 1},
        "stateChangedBy": {"username": me},
        **over,
    }
    return answer


def refused_by(policy: str, reason: str = "Forbidden") -> dict[str, Any]:
    message = (
        f"x is forbidden: ValidatingAdmissionPolicy '{policy}' with binding '{policy}' denied request: x"
    )
    return {"kind": "Status", "status": "Failure", "reason": reason, "message": message}


def test_a_corrected_forgery_is_proof() -> None:
    assert is_corrected(stamped(), SETTINGS)


@pytest.mark.parametrize(
    "answer",
    [
        forged_task("agentid-system"),
        {},
        {"kind": "AgentTask"},
        {"kind": "AgentTask", "spec": None},
        {"kind": "Status", "status": "Failure", "reason": "Forbidden", "message": "no rights"},
        refused_by("task-stamp.agentid.dev"),
        stamped(requester=None),
        stamped(stateChangedBy=None),
        stamped(stateChangedBy=forged_task("x")["spec"]["stateChangedBy"]),
        stamped(requester={"username": "someone"}),
        stamped(requester={"username": SETTINGS.operator_username, "groups": ["forged@agentid.dev"]}),
        stamped(requester={"username": SETTINGS.operator_username, "podUID": "forged@agentid.dev"}),
        stamped(requester={"username": SETTINGS.operator_username, "mayDelegate": True}),
    ],
    ids=lambda answer: json.dumps(answer)[:60],
)
def test_anything_else_is_no_proof(answer: dict[str, Any]) -> None:
    assert not is_corrected(answer, SETTINGS)


def test_where_nothing_is_stamped_the_refusal_by_our_rule_is_the_proof() -> None:
    typed = AdmissionSettings("agentid-system", "agentid", mutating=False)

    assert is_corrected(refused_by("task-stamp.agentid.dev"), typed)
    assert not is_corrected(refused_by("task-limits.agentid.dev"), typed)
    assert not is_corrected(stamped(), typed)
    assert not is_corrected(forged_task("agentid-system"), typed)


@pytest.mark.parametrize("forgery", [forged_task("agentid-system"), refused_task(SETTINGS)])
def test_no_limit_that_a_cluster_may_have_refuses_the_proof(forgery: dict[str, Any]) -> None:
    limits = json.loads((CHART / "values.schema.json").read_text())["properties"]["limits"]["properties"]
    asked = {**forgery["spec"], **forgery["spec"]["credential"]}

    for limit in ("ttlSeconds", "activeDeadlineSeconds", "startDeadlineSeconds"):
        least = limits[f"max{limit[0].upper()}{limit[1:]}"]["minimum"]
        assert asked[limit] <= least, limit


def test_only_the_refusal_by_our_rule_is_a_refusal() -> None:
    assert is_refused(refused_by("kopf-annotations.agentid.dev"))
    assert not is_refused(refused_by("another.example.com"))
    assert not is_refused(refused_by("kopf-annotations.agentid.dev", reason="InternalError"))
    assert not is_refused(refused_task(SETTINGS))
    assert not is_refused({})
