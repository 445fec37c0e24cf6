"""What the doctor makes of what it sees: how it stands, in which words, and with which exit code."""

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agentid.api import crd
from agentid.api.admission import (
    AdmissionSettings,
    Found,
    OwnerKind,
    forged_task,
    learned_settings,
    rule_keys,
    rules,
)
from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ConnectionLostError,
    ForbiddenError,
)
from agentid.doctor import admission, authority, clocks, leftovers, pods, rights, trial, versions
from agentid.doctor.finding import Finding, Standing, exit_code, problem, unseen, warning, well
from agentid.pki.authority import AuthorityMaterial
from agentid.pki.spiffe_id import TrustDomain

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SETTINGS = AdmissionSettings("agentid-system", "agentid")
ADMIN = "admin@example.com"


def installed(settings: AdmissionSettings) -> dict[tuple[str, str], Mapping[str, Any] | None]:
    """Every rule as the API server would have it, labelled as the chart does."""
    labels = {"app.kubernetes.io/version": "0.1.0"}
    found: dict[tuple[str, str], Mapping[str, Any] | None] = dict.fromkeys(rule_keys())
    for rule in rules(settings):
        found[rule.kind, rule.name] = {
            "metadata": {"name": rule.name, "labels": labels},
            "spec": rule.manifest["spec"],
        }
    return found


def one(findings: list[Finding]) -> Finding:
    assert len(findings) == 1, findings
    return findings[0]


@pytest.mark.parametrize(
    ("findings", "code"),
    [
        ([well("a", "b")], 0),
        ([well("a", "b"), warning("a", "b", "c")], 0),
        ([warning("a", "b", "c"), unseen("a", "b", "c")], 2),
        ([unseen("a", "b", "c"), problem("a", "b", "c")], 1),
        ([], 2),
    ],
)
def test_the_exit_code_is_that_of_the_worst_and_what_was_not_seen_is_not_well(
    findings: list[Finding], code: int
) -> None:
    assert exit_code(findings) == code


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
    assert "All 32 policies" in told.sentence
    assert SETTINGS.operator_username in told.sentence


def test_every_rule_that_is_missing_is_told() -> None:
    nothing: Found = dict.fromkeys(rule_keys())

    assert admission.settings_told(nothing, None, "agentid") == SETTINGS
    told = admission.judge_rules(nothing, SETTINGS)
    assert {each.standing for each in told} == {Standing.PROBLEM}
    assert len(told) == len(rules(SETTINGS))


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


def test_rights_that_are_missing_or_too_many_are_named() -> None:
    needed = dict.fromkeys(rights.needed(SETTINGS), True)
    beyond = dict.fromkeys(rights.too_much(SETTINGS), False)
    assert one(rights.judge_operator(needed, beyond, SETTINGS)).standing is Standing.OK

    emptying = next(right for right in needed if (right.verb, right.resource) == ("update", "secrets"))
    reading = next(right for right in beyond if (right.verb, right.resource) == ("get", "secrets"))
    missing, more = rights.judge_operator(needed | {emptying: False}, beyond | {reading: True}, SETTINGS)

    assert missing.standing is more.standing is Standing.PROBLEM
    assert "may not do what it has to: update secrets" in missing.sentence
    assert "more than the chart gives it: get secrets" in more.sentence


@pytest.mark.parametrize("watched", [(), ("team-a", "agentid-system")])
def test_no_right_is_both_needed_and_too_much(watched: tuple[str, ...]) -> None:
    settings = replace(SETTINGS, watch_namespaces=watched)

    assert not set(rights.needed(settings)) & set(rights.too_much(settings))


@pytest.mark.parametrize("watched", [(), ("team-a",)])
def test_what_runs_something_or_reaches_into_a_pod_is_too_much(watched: tuple[str, ...]) -> None:
    beyond = set(rights.too_much(replace(SETTINGS, watch_namespaces=watched)))

    for namespace in watched or ("",):
        for part in ("exec", "attach", "portforward", "proxy"):
            assert {rights.Right(verb, f"pods/{part}", "", namespace) for verb in ("get", "create")} <= beyond
        assert rights.Right("create", "jobs", "batch", namespace) in beyond
        assert rights.Right("create", "deployments", "apps", namespace) in beyond


def test_what_everybody_may_do_is_a_problem() -> None:
    closed = dict.fromkeys(rights.closed_to_everybody(SETTINGS), False)
    assert one(rights.judge_everybody(closed)).standing is Standing.OK

    open_one = next(right for right in closed if right.resource == "validatingadmissionpolicies")
    told = one(rights.judge_everybody(closed | {open_one: True}))

    assert told.standing is Standing.PROBLEM
    assert str(open_one) in told.sentence


def secret_of(material: AuthorityMaterial) -> dict[str, Any]:
    parts = {
        "root.crt": material.root_certificate,
        "root.key": material.root_key,
        "intermediate.crt": material.intermediate_certificate,
        "intermediate.key": material.intermediate_key,
    }
    return {"data": {name: b64encode(part).decode() for name, part in parts.items()}}


def material(**lifetimes: timedelta) -> AuthorityMaterial:
    return AuthorityMaterial.create(TrustDomain("prod.example.com"), NOW, **lifetimes)


def test_a_good_authority_is_told_by_what_is_public_of_it() -> None:
    made = material()

    told = one(authority.judge_authority(secret_of(made), "agentid-system", NOW))

    assert told.standing is Standing.OK
    assert "Trust domain prod.example.com" in told.sentence
    for key in (made.root_key, made.intermediate_key):
        inside = [line for line in key.decode().splitlines() if line and not line.startswith("-----")]
        assert not any(line in told.sentence for line in inside)


@pytest.mark.parametrize(
    ("later", "told"),
    [
        (timedelta(days=260), "should have been renewed"),
        (timedelta(days=366), "expired"),
    ],
)
def test_an_intermediate_that_is_not_renewed_is_told(later: timedelta, told: str) -> None:
    found = one(authority.judge_authority(secret_of(material()), "agentid-system", NOW + later))

    assert found.standing is not Standing.OK
    assert told in found.sentence
    assert found.remedy


def test_the_last_year_of_a_root_is_told() -> None:
    made = secret_of(material(root_lifetime=timedelta(days=200)))

    found = one(authority.judge_authority(made, "agentid-system", NOW))

    assert found.standing is Standing.WARNING
    assert "last year" in found.sentence


def test_a_damaged_authority_is_a_problem_and_shows_no_key() -> None:
    good, other = secret_of(material()), secret_of(material())
    damaged = [
        None,
        {},
        {"data": {}},
        {"data": good["data"] | {"root.crt": "!"}},
        {"data": good["data"] | {"intermediate.key": other["data"]["intermediate.key"]}},
        {"data": good["data"] | {"root.key": b64encode(b"no key").decode()}},
        {"data": good["data"] | {"intermediate.crt": other["data"]["intermediate.crt"]}},
    ]
    for secret in damaged:
        found = one(authority.judge_authority(secret, "agentid-system", NOW))
        assert found.standing is Standing.PROBLEM
        assert found.remedy
        assert "PRIVATE KEY" not in found.sentence


@pytest.mark.parametrize(
    ("major", "minor", "standing"),
    [
        ("1", "29", "Problem"),
        ("1", "30+", "Warning"),
        ("1", "36", "OK"),
        ("2", "0", "OK"),
        ("", "", "Problem"),
    ],
)
def test_what_a_version_of_kubernetes_gives(major: str, minor: str, standing: str) -> None:
    told = one(versions.judge_kubernetes({"major": major, "minor": minor, "gitVersion": "v"}))

    assert told.standing == standing


def crd_found(**version: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    made: dict[str, Any] = json.loads(json.dumps(crd.definition(crd.KINDS[0])))
    made["spec"]["versions"][0] |= version
    return {**made, "status": {"conditions": [{"type": "Established", "status": "True"}]}}


@pytest.mark.parametrize(
    ("found", "standing"),
    [
        (crd_found(), "OK"),
        (None, "Problem"),
        (crd_found(served=False), "Problem"),
        (crd_found(name="v1"), "Problem"),
        (crd_found(schema={}), "Warning"),
        ({**crd_found(), "status": {}}, "Problem"),
    ],
)
def test_how_a_crd_stands(found: dict[str, Any] | None, standing: str) -> None:
    kind = crd.KINDS[0]

    assert one(versions.judge_crd(kind.crd_name, crd.definition(kind), found)).standing == standing


def test_another_version_of_agentid_is_told() -> None:
    found = installed(SETTINGS)

    assert one(versions.judge_agentid("0.1.0", found)).standing is Standing.OK
    assert one(versions.judge_agentid("0.2.0", found)).standing is Standing.WARNING
    assert one(versions.judge_agentid("0.2.0", dict.fromkeys(rule_keys()))).standing is Standing.WARNING


LEASE = clocks.LeaseSeen("pod-1", 15, NOW, moved=True, server=NOW)


@pytest.mark.parametrize(
    ("seen", "standing", "told"),
    [
        (LEASE, "OK", "held by pod-1"),
        (None, "Problem", "no operator has ever led"),
        (replace(LEASE, holder=""), "Problem", "held by nobody"),
        (replace(LEASE, moved=False), "Problem", "was not renewed in 15 s"),
        (replace(LEASE, renewed=None, moved=False), "Problem", "renewed it last never"),
    ],
)
def test_how_a_lease_stands(seen: clocks.LeaseSeen | None, standing: str, told: str) -> None:
    found = clocks.judge_lease(seen, "agentid-system")[0]

    assert found.standing == standing
    assert told in found.sentence


@pytest.mark.parametrize(("ahead", "standing"), [(9, "OK"), (11, "Problem"), (-9, "OK"), (-11, "Problem")])
def test_the_leading_operators_clock_is_seen_in_its_lease(ahead: int, standing: str) -> None:
    seen = replace(LEASE, renewed=NOW + timedelta(seconds=ahead))

    clock = clocks.judge_lease(seen, "agentid-system")[1]

    assert clock.standing == standing


@pytest.mark.parametrize(("ahead", "standing"), [(0, "OK"), (10, "OK"), (10.5, "Warning"), (-60, "Warning")])
def test_this_machines_clock(ahead: float, standing: str) -> None:
    assert one(clocks.judge_clock(ahead)).standing == standing


def metadata(name: str, uid: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    return {"namespace": "support", "name": name, "uid": uid, **more}


def credential(name: str, task_uid: str, *owners: str) -> dict[str, Any]:
    return metadata(
        f"agentid-{name}",
        f"secret-of-{task_uid}",
        labels={"agentid.dev/task-uid": task_uid},
        ownerReferences=[{"uid": uid} for uid in owners],
    )


def test_a_secret_is_left_over_when_its_task_is_gone_or_another_of_the_same_name() -> None:
    secrets = [credential("live", "1"), credential("gone", "2"), credential("again", "3", "pod-3")]
    tasks = [metadata("live", "1"), metadata("again", "4")]

    found = leftovers.leftovers(secrets, tasks, [metadata("p", "pod-3")])

    assert [(each.name, each.has_pod) for each in found] == [("agentid-again", True), ("agentid-gone", False)]
    told = leftovers.judge_leftovers(found, len(secrets))
    assert [each.standing for each in told] == [Standing.WARNING, Standing.PROBLEM]
    assert "support/agentid-gone" in told[1].sentence


def test_an_emptied_secret_whose_task_nobody_remembers_is_of_the_task_of_its_name() -> None:
    secret = {**credential("live", ""), "labels": {}}

    assert leftovers.leftovers([secret], [metadata("live", "1")], []) == []
    assert one(leftovers.judge_leftovers([], 1)).standing is Standing.OK


def operator_pod(name: str, *, ready: bool, image: str = "agentid:1", **env: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": {
            "serviceAccountName": "agentid",
            "containers": [
                {
                    "name": "operator",
                    "image": image,
                    "args": ["operator"],
                    "env": [{"name": name, "value": value} for name, value in env.items()],
                }
            ],
        },
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": str(ready)}]},
    }


READY, UNREADY = operator_pod("a", ready=True), operator_pod("b", ready=False)


@pytest.mark.parametrize(
    ("found", "standing", "told"),
    [
        ([READY], "OK", "1 of 1 pods are ready, with image agentid:1"),
        ([READY, UNREADY], "Warning", "1 of 2"),
        ([READY, operator_pod("c", ready=True, image="agentid:2")], "Warning", "agentid:1, agentid:2"),
        ([UNREADY], "Problem", "0 of 1"),
        ([], "Warning", "No pod runs the operator"),
        ([{**READY, "status": {"phase": "Succeeded"}}], "Warning", "No pod runs the operator"),
    ],
)
def test_how_the_operators_pods_stand(found: list[dict[str, Any]], standing: str, told: str) -> None:
    first = pods.judge_pods(found, SETTINGS)[0]

    assert first.standing == standing
    assert told in first.sentence


def test_an_operator_that_expects_other_rules_is_told() -> None:
    agreeing = operator_pod("a", ready=True, AGENTID_MAX_TTL_SECONDS="86400", AGENTID_WATCH_NAMESPACES="[]")
    differing = operator_pod("a", ready=True, AGENTID_MAX_TTL_SECONDS="600")
    kinds = '[{"apiVersion": "batch/v1", "kind": "Job", "resource": "jobs"}%s]'
    more = ', {"apiVersion": "apps/v1", "kind": "Deployment", "resource": "deployments"}'

    assert pods.judge_pods([agreeing], SETTINGS)[1].standing is Standing.OK
    same_kinds = operator_pod("a", ready=True, AGENTID_WORKLOAD_KINDS=kinds % "")
    other_kinds = operator_pod("a", ready=True, AGENTID_WORKLOAD_KINDS=kinds % more)
    assert pods.judge_pods([same_kinds], SETTINGS)[1].standing is Standing.OK
    assert pods.judge_pods([other_kinds], SETTINGS)[1].standing is Standing.PROBLEM
    told = pods.judge_pods([differing], SETTINGS)[1]
    assert told.standing is Standing.PROBLEM
    assert "AGENTID_MAX_TTL_SECONDS is '600', the rules say '86400'" in told.sentence


def test_a_trial_tells_its_times_or_what_it_saw_last() -> None:
    came, missed = (
        trial.Waited(came=True, seconds=0.34, last=""),
        trial.Waited(came=False, seconds=30, last="X: y"),
    )

    assert "after 0.3 s" in trial.judge_issue(came, "t").sentence
    assert "0.3 s later" in trial.judge_end(came, "t").sentence
    for told in (trial.judge_issue(missed, "t"), trial.judge_end(missed, "t")):
        assert told.standing is Standing.PROBLEM
        assert told.sentence.endswith("X: y.")


def test_a_trial_that_rbac_refuses_says_nothing_of_agentid_and_one_that_a_rule_refuses_is_a_problem() -> None:
    assert trial.judge_refusal(ForbiddenError("no right")).standing is Standing.UNSEEN
    by_rule = AdmissionRefusedError("not served", "watched-namespaces.agentid.dev")
    assert trial.judge_refusal(by_rule).standing is Standing.PROBLEM
    assert trial.judge_refusal(ConnectionLostError("cut")).standing is Standing.PROBLEM


def test_what_is_left_of_a_trial_is_deleted_by_its_label_and_nothing_else_is() -> None:
    foreign = AlreadyExistsError("AgentTask support/doctor-trial is there and not of a trial; rename it")

    assert "delete" not in trial.judge_leftover(foreign, "support").remedy
    remedy = trial.judge_leftover(ConnectionLostError("cut"), "support").remedy
    assert (
        remedy == "kubectl delete agenttask,agent -l app.kubernetes.io/managed-by=agentid-doctor -n support"
    )
