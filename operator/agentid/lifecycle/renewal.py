"""When a credential is renewed, how long the next one may live, and when the task ends at the latest."""

import hashlib
from datetime import datetime, timedelta
from typing import Final

from agentid.api.agenttask_status import Credential
from agentid.lifecycle.lineage import inherited_deadline
from agentid.lifecycle.model import Observation, SecretState
from agentid.lifecycle.record import asked, current, this_second

BACKDATE: Final = timedelta(seconds=60)
"""How long before its issue a certificate begins (pki.validity; conformance: at most 60 s)."""

RENEWED_AFTER: Final = 2 / 3
"""The part of a credential's life, counted from its issue, after which it is renewed."""

JITTER: Final = 0.05
"""How far around that the moment lies, so that tasks of one second are not renewed in one second."""

MIN_PAUSE: Final = timedelta(seconds=5)
"""Not sooner after an issue, however short the life: an authority near its end must not make a loop."""


def renew_at(observation: Observation) -> datetime | None:
    """Return when the newest credential is to be renewed; None: it reaches the deadline or there is none."""
    newest, deadline = current(observation), observation.task.status.deadline
    if newest is None or (deadline is not None and newest.not_after >= deadline):
        return None
    issued = newest.not_before + BACKDATE
    part = RENEWED_AFTER * (1 + JITTER * _spread(newest))
    return issued + max((newest.not_after - issued) * part, MIN_PAUSE)


def is_in_doubt(observation: Observation) -> bool:
    """Whether the Secret may hold the newest credential or the one before, so that it is replaced.

    A first one is looked for instead, and so is another operator's, made as well as one of ours would be: two
    that both lead must not go on and on.
    """
    newest, secret = current(observation), observation.secret
    is_doubtful = secret.state is SecretState.DOUBTFUL and not secret.overtaken
    return is_doubtful and newest is not None and newest.generation != 1


def earliest_renewal(issued: datetime, ttl: timedelta) -> datetime:
    """Return the first moment at which a credential with life `ttl`, made at `issued`, can be due."""
    return issued + max(ttl * RENEWED_AFTER * (1 - JITTER), MIN_PAUSE)


def ttl(observation: Observation) -> timedelta:
    """Return how long each credential of the task may live."""
    wanted = timedelta(seconds=asked(observation).credential.ttl_seconds)
    return min(wanted, observation.limits.max_ttl)


def deadline(observation: Observation) -> datetime:
    """Return when the task ends at the latest: as recorded, or as counted from a first issue now.

    Without renewal the first credential's life is the task's, so that no later one can prolong it. A child
    ends no later than what it is under.
    """
    status = observation.task.status
    if status.deadline is not None:
        return status.deadline
    own = (status.start_time or this_second(observation)) + longest_life(observation)
    return min(own, inherited_deadline(observation.family.lineage) or own)


def longest_life(observation: Observation) -> timedelta:
    """Return for how long the task may have credentials by itself, from its first one on."""
    spec = asked(observation)
    longest = min(timedelta(seconds=spec.active_deadline_seconds), observation.limits.max_active_deadline)
    if not spec.credential.renew:
        longest = min(longest, ttl(observation))
    if spec.break_glass is not None:
        longest = min(longest, observation.limits.max_break_glass)
    return longest


def _spread(credential: Credential) -> float:
    """Return a number from -1 to 1 that is always the same for one serial."""
    digest = hashlib.sha256(credential.serial.encode()).digest()
    return int.from_bytes(digest[:4]) / (2**32 - 1) * 2 - 1
