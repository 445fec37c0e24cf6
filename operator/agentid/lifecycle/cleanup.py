"""What is done with a Secret that must hold no credential.

A kubelet empties the mounted files of a running pod when the Secret's values become empty; it leaves them
as they are when the Secret is deleted. So while a pod lives that could have it mounted, the Secret is emptied
and stays for a while; otherwise it is deleted at once.

A request that got no answer may be carried out minutes later. One that replaces or deletes names the version
or UID that it is meant for and comes too late; one that creates the Secret, credential and all, is refused
only while the name is taken. So an empty Secret holds the name for the same while after one was sent.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agentid.lifecycle.model import Observation, PodFacts, SecretFacts, SecretState
from agentid.lifecycle.plan import SecretAction
from agentid.lifecycle.pods import lives


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What to do now, and when to look again."""

    action: SecretAction
    wake_at: datetime | None = None


def clean_up(
    secret: SecretFacts,
    pods: Sequence[PodFacts],
    now: datetime,
    wipe_grace: timedelta,
    *,
    comes_back: bool,
) -> Cleanup:
    """Return what takes the credential out of the Secret, and then the Secret away.

    `comes_back`: the task may get a credential again. Then the empty Secret stays as long as a pod lives
    that could have it mounted, since a mount follows a refilled Secret but not one made anew.
    """
    held_until = secret.unanswered_at + wipe_grace if secret.unanswered_at is not None else now
    may_come = now < held_until
    if secret.state is SecretState.TAKEN or (secret.state is SecretState.ABSENT and not may_come):
        return Cleanup(SecretAction.NONE)
    if secret.state is not SecretState.EMPTIED:
        if may_come:
            return Cleanup(SecretAction.HOLD, held_until)
        return Cleanup(SecretAction.EMPTY if any(map(lives, pods)) else SecretAction.DELETE)
    if any(lives(pod) and pod.scheduled for pod in pods):
        if comes_back:
            return Cleanup(SecretAction.NONE)
        held_until = max(held_until, (secret.emptied_at or now) + wipe_grace)
    return Cleanup(SecretAction.NONE, held_until) if now < held_until else Cleanup(SecretAction.DELETE)


def secret_of(observation: Observation) -> SecretFacts:
    """Return what is known of the Secret; a task that never had a credential never had one."""
    task, in_doubt = observation.task, observation.secret.state is SecretState.DOUBTFUL
    if in_doubt and task.status_invalid is None and not task.status.credential_generation:
        return SecretFacts(SecretState.ABSENT)
    return observation.secret
