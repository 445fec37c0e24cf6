"""What is recorded: an entry of the same fields for each decision, issue and end, and only for these."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import timedelta

import orjson
import pytest

from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.consent import Approver, Consent
from agentid.lifecycle.decide import decide
from agentid.lifecycle.journal import SCHEMA, Entry, Revoked, entry
from agentid.lifecycle.model import Observation
from tests.unit.lifecycle_facts import (
    NOW,
    TASK_UID,
    after,
    answered_again,
    asks,
    at,
    deleted,
    ended_by_carol,
    judged,
    observe,
    pod,
    report_of,
    running,
    static_secret,
    task_spec,
)

NEW = observe(pods=[pod()])
STARTED = (pod(all_run=True),)
RUNS = running(NEW)
UNAPPROVED: dict[str, object] = {"allowed": False, "awaits_approval": True, "message": "It needs one."}
DENIED = Consent(denied="denied by erin@example.com")


def recorded(facts: Observation) -> Entry | None:
    facts = answered_again(facts)
    plan = decide(facts)
    return entry(facts, plan, report_of(facts, plan).status)


@pytest.mark.parametrize(
    ("facts", "kind", "reason"),
    [
        (NEW, "issued", "Running"),
        (at(RUNS, 250), "renewed", "Running"),
        (judged(NEW, **UNAPPROVED), "approvalRequired", "AwaitingApproval"),
        (judged(NEW, allowed=False, message="no"), "denied", "AwaitingPolicy"),
        (judged(replace(NEW, consent=DENIED)), "denied", "ApprovalDenied"),
        (judged(replace(RUNS, consent=DENIED)), "denied", "ApprovalDenied"),
        (observe(), "waiting", "AwaitingPod"),
        (asks(RUNS, state="Suspended"), "suspended", "Suspended"),
        (
            asks(replace(after(asks(RUNS, state="Suspended")), pods=STARTED), state="Active"),
            "resumed",
            "Running",
        ),
        (ended_by_carol(RUNS), "ended", "Ended"),
        (deleted(RUNS), "ended", "Deleted"),
        (at(RUNS, 3600), "ended", "Expired"),
    ],
)
def test_each_decision_is_one_entry_and_the_next_pass_none(facts: Observation, kind: str, reason: str):
    found = recorded(facts)
    assert found is not None
    assert (found.schema, found.kind, found.reason) == (SCHEMA, kind, reason)
    assert recorded(after(facts)) is None


def test_issue_names_all_that_it_was_decided_on():
    consent = Consent((Approver("erin@example.com", ()),), until=NOW + timedelta(hours=1))
    found = recorded(judged(replace(NEW, consent=consent)))
    assert found is not None
    assert NEW.task.spec is not None
    assert (found.namespace, found.task, found.uid) == ("support", "refund-4711", TASK_UID)
    assert (found.spec_hash, found.intent_generation) == (spec_hash(NEW.task.spec), 1)
    assert (found.requester, found.delegator, found.approvers) == (
        "orchestrator",
        "carol@example.com",
        ("erin@example.com",),
    )
    assert (found.action, found.policies) == ("issue", ("ClusterAgentPolicy/default/short-lived",))
    assert (found.pod_uid, found.serial, found.not_after) == (pod().uid, "0001", "2026-05-31T14:05:00Z")
    assert (found.break_glass, found.justification, found.revoked) == (False, None, ())


def test_entry_of_a_templates_task_names_the_template_and_its_author():
    author = {"username": "dora@example.com"}
    made_from = {"name": "nightly", "uid": pod().uid, "author": author}
    found = recorded(observe(spec=task_spec(templateRef=made_from), pods=[pod()]))
    assert found is not None
    assert (found.requester, found.template) == ("dora@example.com", "nightly")


def test_entry_names_the_static_secrets_that_are_beside_the_credential_and_a_rotation_renews():
    facts = observe(
        spec=task_spec(staticSecrets=[{"name": "legacy-crm-key"}]),
        pods=[pod(all_run=True)],
        static_secrets=[static_secret()],
    )
    found = recorded(facts)
    assert found is not None
    assert (found.kind, found.static_secrets) == ("issued", ("legacy-crm-key@aa01",))
    rotated = replace(running(facts), static_secrets=(static_secret(version="aa02"),))
    again = recorded(rotated)
    assert again is not None
    assert (again.kind, again.static_secrets) == ("renewed", ("legacy-crm-key@aa02",))


def test_end_names_what_counts_no_longer():
    found = recorded(ended_by_carol(RUNS))
    assert found is not None
    assert (found.serial, found.revoked) == (None, (Revoked("0001", "2026-05-31T14:05:00Z"),))


def test_emergency_is_marked_in_each_entry():
    parts = {
        "breakGlass": {"justification": "The payment provider is down."},
        "credential": {"renew": False},
    }
    facts = observe(spec=task_spec(**parts), pods=[pod()])
    for each in (facts, ended_by_carol(running(facts), **parts), judged(facts, allowed=False)):
        found = recorded(each)
        assert found is not None
        assert (found.break_glass, found.justification) == (True, "The payment provider is down.")


def test_entry_is_written_with_all_its_fields_always():
    for facts in (NEW, ended_by_carol(RUNS), replace(NEW, task=replace(NEW.task, spec=None, invalid="x"))):
        found = recorded(facts)
        assert found is not None
        assert list(orjson.loads(orjson.dumps(found.fields()))) == [each.name for each in fields(Entry)]


WIDE = [f"orders:a{number}" for number in range(32)]


def test_entry_has_all_of_the_intent_but_its_purpose():
    intent = {
        "purpose": "Refund what Carol Jones bought",
        "actions": WIDE,
        "grantable": ["refunds:create"],
        "resources": ["order/4711"],
        "sensitivity": "Confidential",
    }
    found = recorded(observe(spec=task_spec(intent=intent), pods=[pod()]))
    assert found is not None
    assert (found.actions, found.grantable, found.resources, found.sensitivity) == (
        tuple(WIDE),
        ("refunds:create",),
        ("order/4711",),
        "Confidential",
    )
    assert "Carol Jones" not in str(found.fields())


def test_entry_names_who_changed_the_state():
    sec, boss = {"username": "sec@example.com"}, {"username": "boss@example.com"}
    suspends = asks(RUNS, state="Suspended", stateChangedBy=sec)
    resumes = asks(replace(after(suspends), pods=STARTED), state="Active", stateChangedBy=boss)
    for facts, kind, who in ((suspends, "suspended", sec), (resumes, "resumed", boss)):
        found = recorded(facts)
        assert found is not None
        assert (found.kind, found.state_changed_by) == (kind, who["username"])
    first = recorded(NEW)
    assert first is not None
    assert first.state_changed_by is None


def test_rotation_that_prolongs_nothing_is_an_issue_and_then_a_revocation_of_the_one_before():
    parts = {
        "breakGlass": {"justification": "The payment provider is down."},
        "credential": {"renew": False},
        "staticSecrets": [{"name": "legacy-crm-key"}],
    }
    facts = running(observe(spec=task_spec(**parts), pods=[pod()], static_secrets=[static_secret()]))
    rotated = replace(facts, static_secrets=(static_secret(version="aa02"),))
    entries = [recorded(each) for each in (rotated, after(rotated), after(after(rotated)))]
    told = [
        (each.kind, each.serial, tuple(gone.serial for gone in each.revoked))
        for each in entries
        if each is not None
    ]
    assert told == [("issued", "0002", ()), ("revoked", None, ("0001",))]
