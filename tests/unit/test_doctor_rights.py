"""What the doctor makes of rights: the operator's, missing or too many, and everybody's."""

from dataclasses import replace

import pytest

from agentid.doctor import rights
from agentid.doctor.finding import Standing
from tests.unit.doctor_installation import SETTINGS, one


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


def test_the_ledger_is_written_by_adding_and_nobody_elses() -> None:
    own = SETTINGS.operator_namespace
    needed, beyond = set(rights.needed(SETTINGS)), set(rights.too_much(SETTINGS))

    for verb in ("create", "get", "list", "delete"):
        right = rights.Right(verb, "ledgerbatches", "agentid.dev", own)
        assert right in needed
        assert right in rights.closed_to_everybody(SETTINGS)
    for verb in ("update", "patch", "deletecollection"):
        assert rights.Right(verb, "ledgerbatches", "agentid.dev", own) in beyond
    for verb in ("get", "update"):
        assert rights.Right(verb, "secrets", "", own, "ledger-key") in needed


def test_what_everybody_may_do_is_a_problem() -> None:
    closed = dict.fromkeys(rights.closed_to_everybody(SETTINGS), False)
    assert one(rights.judge_everybody(closed)).standing is Standing.OK

    open_one = next(right for right in closed if right.resource == "validatingadmissionpolicies")
    told = one(rights.judge_everybody(closed | {open_one: True}))

    assert told.standing is Standing.PROBLEM
    assert str(open_one) in told.sentence
