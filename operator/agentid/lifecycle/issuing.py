"""The rules by which a credential is made, kept or renewed, once nothing ends or holds the task."""

from agentid.api.reasons import EndReason, IssueReason, WaitReason
from agentid.api.spec_hash import spec_hash
from agentid.lifecycle.model import Observation, SecretState
from agentid.lifecycle.permission import is_not_renewed, may_be_renewed
from agentid.lifecycle.pods import is_replaced, next_holder
from agentid.lifecycle.record import (
    asked,
    current,
    has_started,
    held,
    is_emergency,
    is_granted,
    is_step,
    may_write,
    was_suspended,
)
from agentid.lifecycle.renewal import is_in_doubt, renew_at
from agentid.lifecycle.static_secrets import rotated
from agentid.lifecycle.verdict import End, Grant, Hold, Issue, Keep, Verdict
from agentid.lifecycle.wording import at


def grant_while_a_step_is_allowed(observation: Observation) -> Grant | Hold | None:
    """A step has no credential: while it is allowed, its parent's identity may do its actions too."""
    if not is_step(observation.task):
        return None
    why = _new_grant(observation)
    if why is not None and observation.blocked is not None:
        return Hold(WaitReason.ISSUANCE_BLOCKED, observation.blocked.message, stalled=True)
    return Grant(why)


def issue_first_credential(observation: Observation) -> Verdict | None:
    """All is there and nothing speaks against it."""
    return None if has_started(observation) else _anew(observation, IssueReason.ISSUED)


def issue_after_suspension(observation: Observation) -> Verdict | None:
    """The task was suspended and is Active again, whatever it waited for since."""
    if not was_suspended(observation):
        return None
    return _anew(observation, IssueReason.RESUMED)


def issue_to_the_next_pod(observation: Observation) -> Verdict | None:
    """The pod that held the credential was followed by another one."""
    return _anew(observation, IssueReason.POD_REPLACED) if is_replaced(observation) else None


def issue_anew_when_intent_changed(observation: Observation) -> Verdict | None:
    """The credential was decided on another intent: it is revoked, and the new one decided on the new."""
    if observation.task.status.spec_hash == spec_hash(asked(observation)):
        return None
    return _anew(observation, IssueReason.INTENT_CHANGED, "spec.intent changed")


def end_when_credential_that_is_not_renewed_ran_out(observation: Observation) -> End | None:
    """There is one credential and no next one, and the life of that is over."""
    newest = current(observation)
    if newest is None or observation.now < newest.not_after or not is_not_renewed(observation):
        return None
    emergency = is_emergency(observation.task)
    why = "an emergency is one credential" if emergency else "no rule of policy permits to renew it"
    return End(EndReason.EXPIRED, f"its credential ran out at {at(newest.not_after)}, and {why}")


def issue_anew_when_credential_was_lost(observation: Observation) -> Verdict | None:
    """No credential counts, or none of those that count is in the Secret or within its life."""
    if any(observation.now < each.not_after for each in held(observation)):
        return None
    newest = current(observation)
    ran_out = newest is not None and newest.not_after <= observation.now
    cause = f"it ran out at {at(newest.not_after)}" if newest and ran_out else "its Secret does not hold it"
    return _anew(observation, IssueReason.REISSUED, cause)


def renew_when_secret_is_in_doubt(observation: Observation) -> Verdict | None:
    """The Secret may hold the newest credential or the one before.

    If the one before was revoked and none may be made now, there is nothing left that may be kept.
    """
    if not is_in_doubt(observation):
        return None
    if is_not_renewed(observation):
        # Beside it no other may be made, but it may be made again.
        return _anew(observation, IssueReason.REISSUED, "it is in doubt whether its Secret holds it")
    is_replacement = len(observation.task.status.credentials) == 1
    if is_replacement and observation.blocked is not None:
        cause = "it is in doubt whether its Secret holds it or a revoked one"
        return Hold(WaitReason.ISSUANCE_BLOCKED, observation.blocked.message, cause, stalled=True)
    return _renewed(observation)


def renew_when_due(observation: Observation) -> Verdict | None:
    """Two thirds of the newest credential's life are over, the deadline leaves room for more, policy too."""
    due = renew_at(observation)
    is_due = due is not None and due <= observation.now and not is_not_renewed(observation)
    return _renewed(observation) if is_due else None


def renew_when_static_secret_was_rotated(observation: Observation) -> Verdict | None:
    """The platform team put another value in the place of one that was copied.

    The key beside it could not be read to be written again, so that the whole credential is made anew. Where
    policy permits no next one, it takes the place of the last and ends when that did.
    """
    return _renewed(observation, IssueReason.SECRET_ROTATED) if rotated(observation) else None


def keep_running(observation: Observation) -> Keep:
    """Only what the Secret can hold counts on. A first one that is in doubt is looked for.

    Where there is one credential and no next one, those before it count no longer once it is in the Secret.
    """
    in_doubt = observation.secret.state is SecretState.DOUBTFUL
    counting = held(observation)
    is_written = not in_doubt and current(observation) in counting
    return Keep(
        counting[-1:] if is_written and is_not_renewed(observation) else counting,
        overdue=None if is_written else _trouble(observation),
        probe=in_doubt and may_write(observation),
    )


def _new_grant(observation: Observation) -> IssueReason | None:
    """Return what a step is granted anew for; None: it is granted as it is."""
    if not has_started(observation):
        return IssueReason.ISSUED
    if was_suspended(observation):
        return IssueReason.RESUMED
    if observation.task.status.spec_hash != spec_hash(asked(observation)):
        return IssueReason.INTENT_CHANGED
    return None if is_granted(observation.task) else IssueReason.REISSUED


def _anew(observation: Observation, why: IssueReason, cause: str | None = None) -> Issue | Hold:
    """Make a credential in place of all earlier ones, which stop counting whether it can be made or not."""
    if observation.blocked is not None:
        return Hold(WaitReason.ISSUANCE_BLOCKED, observation.blocked.message, cause, stalled=True)
    failed = observation.failed_write
    if failed is not None and (not may_write(observation) or _is_clean(observation)):
        # What failed is only tried first: no key is made, and none recorded, for a Secret that is refused.
        probe = may_write(observation)
        return Hold(WaitReason.ISSUANCE_BLOCKED, failed.message, cause, stalled=True, probe=probe)
    return _made(observation, why)


def _is_clean(observation: Observation) -> bool:
    """Whether there is nothing to take away: no credential counts, and the Secret surely holds none."""
    clean = {SecretState.ABSENT, SecretState.EMPTIED}
    return current(observation) is None and observation.secret.state in clean


def _renewed(observation: Observation, why: IssueReason = IssueReason.RENEWED) -> Issue | Keep:
    """Make a credential beside those that still count; they stay as they are while it cannot be made."""
    if observation.blocked is not None:
        return Keep(held(observation), overdue=observation.blocked.message)
    if observation.failed_write is not None:
        return Keep(held(observation), overdue=_trouble(observation), probe=may_write(observation))
    return _made(observation, why)


def _made(observation: Observation, why: IssueReason) -> Issue:
    """Return that a credential is made: where another one is not permitted, one in the place of the last."""
    is_the_same = why in {IssueReason.REISSUED, IssueReason.SECRET_ROTATED}
    return Issue(why, next_holder(observation), prolongs=not is_the_same or may_be_renewed(observation))


def _trouble(observation: Observation) -> str | None:
    """Return what keeps a credential from its Secret; one answer that was lost is no trouble yet."""
    failed = observation.failed_write
    return failed.message if failed is not None and (failed.refused or failed.again) else None
