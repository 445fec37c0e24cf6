"""What the doctor makes of a trial: its times, a refusal, and what is left of it."""

from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ConnectionLostError,
    ForbiddenError,
)
from agentid.doctor import trial
from agentid.doctor.finding import Standing


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
