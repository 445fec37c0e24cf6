"""The life of a task on one page: the first rule that applies says what holds now, and `decide` plans it."""

from collections.abc import Callable
from typing import Final

from agentid.lifecycle.authority_holds import (
    hold_while_a_task_above_is_not_allowed,
    hold_while_a_task_above_is_suspended,
    hold_while_approval_is_awaited,
    hold_while_approval_is_denied,
    hold_while_delegation_is_refused,
    hold_while_its_parent_has_too_many_children,
    hold_while_what_has_begun_is_not_allowed,
)
from agentid.lifecycle.ends import (
    end_when_a_task_above_has_ended,
    end_when_agent_is_disabled,
    end_when_deadline_is_past,
    end_when_start_deadline_is_past,
    end_when_state_is_ended,
    end_when_task_is_deleted,
    end_when_unreadable_task_has_waited_too_long,
    end_when_workload_is_gone,
    end_when_workload_reports_its_end,
    revoke_when_agent_no_longer_allows_it,
    revoke_when_an_emergency_was_changed,
    revoke_when_its_parents_no_longer_allow_it,
    revoke_when_policy_no_longer_allows_it,
    revoke_when_task_is_unreadable,
    revoke_when_workload_kind_is_no_longer_allowed,
    stay_finished,
)
from agentid.lifecycle.holds import (
    hold_while_a_pod_is_leaving,
    hold_while_agent_is_missing,
    hold_while_another_pod_could_mount_it,
    hold_while_ceiling_is_exceeded,
    hold_while_its_pod_does_not_run,
    hold_while_nobody_is_known_to_have_asked,
    hold_while_pod_is_awaited,
    hold_while_policy_denies,
    hold_while_review_is_overdue,
    hold_while_secret_name_is_taken,
    hold_while_suspended,
    hold_while_task_is_unreadable,
    hold_while_there_is_no_room,
    hold_while_workload_is_missing,
    hold_while_workload_kind_is_not_allowed,
    leave_alone_while_status_is_unreadable,
)
from agentid.lifecycle.issuing import (
    end_when_credential_that_is_not_renewed_ran_out,
    grant_while_a_step_is_allowed,
    issue_after_suspension,
    issue_anew_when_credential_was_lost,
    issue_anew_when_intent_changed,
    issue_first_credential,
    issue_to_the_next_pod,
    keep_running,
    renew_when_due,
    renew_when_secret_is_in_doubt,
    renew_when_static_secret_was_rotated,
)
from agentid.lifecycle.model import Observation
from agentid.lifecycle.plan import Plan
from agentid.lifecycle.planning import plan
from agentid.lifecycle.pod_ends import (
    end_when_bound_pod_changed,
    end_when_bound_pod_is_over,
    end_when_pod_claims_an_unbound_task,
    end_when_second_pod_claims_the_task,
    end_when_two_pods_claim_a_free_task,
)
from agentid.lifecycle.static_secrets import (
    hold_while_static_secret_is_missing,
    hold_while_static_secret_is_unreadable,
    revoke_when_static_secret_is_no_longer_there,
)
from agentid.lifecycle.verdict import Verdict

Rule = Callable[[Observation], Verdict | None]

RULES: Final[tuple[Rule, ...]] = (
    # What became of it is unknown.
    leave_alone_while_status_is_unreadable,
    # An end is final. The first cause is recorded and never changes.
    stay_finished,
    # What ends a task, whether it waits or runs.
    end_when_task_is_deleted,
    end_when_deadline_is_past,
    revoke_when_task_is_unreadable,
    end_when_unreadable_task_has_waited_too_long,
    hold_while_task_is_unreadable,
    end_when_state_is_ended,
    end_when_a_task_above_has_ended,
    end_when_start_deadline_is_past,
    end_when_agent_is_disabled,
    revoke_when_agent_no_longer_allows_it,
    revoke_when_static_secret_is_no_longer_there,
    revoke_when_an_emergency_was_changed,
    revoke_when_its_parents_no_longer_allow_it,
    revoke_when_policy_no_longer_allows_it,
    revoke_when_workload_kind_is_no_longer_allowed,
    end_when_workload_is_gone,
    end_when_workload_reports_its_end,
    end_when_bound_pod_changed,
    end_when_bound_pod_is_over,
    end_when_second_pod_claims_the_task,
    end_when_two_pods_claim_a_free_task,
    end_when_pod_claims_an_unbound_task,
    # What a task waits for, without a credential.
    hold_while_suspended,
    hold_while_a_task_above_is_suspended,
    hold_while_nobody_is_known_to_have_asked,
    hold_while_agent_is_missing,
    hold_while_review_is_overdue,
    hold_while_static_secret_is_missing,
    hold_while_ceiling_is_exceeded,
    hold_while_delegation_is_refused,
    hold_while_a_task_above_is_not_allowed,
    hold_while_its_parent_has_too_many_children,
    hold_while_approval_is_denied,
    hold_while_approval_is_awaited,
    hold_while_what_has_begun_is_not_allowed,
    hold_while_static_secret_is_unreadable,
    hold_while_workload_kind_is_not_allowed,
    hold_while_workload_is_missing,
    hold_while_another_pod_could_mount_it,
    hold_while_a_pod_is_leaving,
    hold_while_pod_is_awaited,
    hold_while_its_pod_does_not_run,
    hold_while_policy_denies,
    hold_while_secret_name_is_taken,
    hold_while_there_is_no_room,
    # What is given. Where nothing may be given now, these wait too.
    grant_while_a_step_is_allowed,
    issue_first_credential,
    issue_after_suspension,
    issue_to_the_next_pod,
    issue_anew_when_intent_changed,
    # Where policy permits one credential alone, nothing comes after it.
    end_when_credential_that_is_not_renewed_ran_out,
    issue_anew_when_credential_was_lost,
    renew_when_secret_is_in_doubt,
    renew_when_due,
    renew_when_static_secret_was_rotated,
    # Otherwise all is well.
    keep_running,
)


def decide(observation: Observation) -> Plan:
    """Return what is to be done about one task, given all that was observed of it.

    Pure: it knows no clock, client or framework, and the same observation always gives the same plan. Once
    its plan was carried out, the next observation gives a plan that writes nothing.
    """
    rule, verdict = ruling(observation)
    return plan(observation, rule.__name__, verdict)


def ruling(observation: Observation) -> tuple[Rule, Verdict]:
    """Return the rule that applies, and what it says."""
    for rule in RULES:
        verdict = rule(observation)
        if verdict is not None:
            return rule, verdict
    raise AssertionError("the last rule always applies")
