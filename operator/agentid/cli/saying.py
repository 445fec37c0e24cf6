"""What is to be said of a task, yes or no, and what speaks against it beforehand."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import typer
from pydantic import TypeAdapter, ValidationError

from agentid.api.agentapproval import Decision
from agentid.api.agenttask import AgentTaskSpec, DesiredState
from agentid.api.fields import ShownText, SpecHash, Timestamp, format_time
from agentid.cli.options import duration
from agentid.cli.orders import Outcome, Result
from agentid.cli.pending import Pending, Word
from agentid.cli.selecting import how_it_ended, is_over, standing
from agentid.lifecycle.approvals import who_may_approve
from agentid.lifecycle.delegation import longest_life
from agentid.lifecycle.lineage import inherited_deadline

LONGEST: Final = timedelta(days=7)
"""For how long a yes counts at most, where no time is said: what a cluster allows unless it is set."""


@dataclass(frozen=True, slots=True)
class Saying:
    """What is to be said of a task.

    Attributes:
        decision: Yes or no.
        comment: Why, for people.
        expires: Until when a yes counts, or for how long; None: until the task has to be over.
        spec_hash: What was looked at; None: what it asks for now.
        dry_run: The API server looks at it as if it were said, and keeps nothing.
        within_seconds: How long to wait until the operator has acted on it; 0: not at all.
    """

    decision: Decision
    comment: str | None
    expires: datetime | timedelta | None = None
    spec_hash: str | None = None
    dry_run: bool = False
    within_seconds: float = 60.0

    @property
    def is_yes(self) -> bool:
        """Whether it is a yes."""
        return self.decision is Decision.APPROVE

    @property
    def done(self) -> str:
        """What has been done to the task then."""
        return ("approved" if self.is_yes else "denied") + (" (dry run)" if self.dry_run else "")


def comment(written: str | None, option: str) -> str | None:
    """Return why something is said.

    Raises:
        BadParameter: it is not as the API server takes it.
    """
    try:
        return None if written is None else TypeAdapter[str](ShownText).validate_python(written)
    except ValidationError as error:
        said = "must be one line of 1 to 1024 characters, without any that cannot be seen"
        raise typer.BadParameter(said, param_hint=option) from error


def expiry(within: str | None, until: str | None) -> datetime | timedelta | None:
    """Return for how long, or until when, a yes is to count; None: nothing is said.

    Raises:
        BadParameter: both are said, or one that is no time.
    """
    if within is not None and until is not None:
        raise typer.BadParameter("takes no --expires-in beside it", param_hint="--until")
    if until is not None:
        try:
            return TypeAdapter[datetime](Timestamp).validate_python(until)
        except ValidationError as error:
            said = "must be an RFC 3339 time such as 2027-05-31T14:00:00Z"
            raise typer.BadParameter(said, param_hint="--until") from error
    if within is None:
        return None
    if not (time := duration(within, "--expires-in")):
        raise typer.BadParameter("must be more than nothing", param_hint="--expires-in")
    return time


def looked_at(written: str | None) -> str | None:
    """Return the hash of what was looked at.

    Raises:
        BadParameter: it is none.
    """
    try:
        return None if written is None else TypeAdapter[str](SpecHash).validate_python(written)
    except ValidationError as error:
        said = "must be v1: and 64 hexadecimal digits, as agentid approvals TASK shows it"
        raise typer.BadParameter(said, param_hint="--spec-hash") from error


def until(saying: Saying, of: Pending) -> datetime | None:
    """Return until when a yes counts: as was said, or as long as the task can last at the most."""
    if not saying.is_yes or of.task.spec is None:
        return None
    if isinstance(saying.expires, timedelta):
        return of.now + saying.expires
    return saying.expires or min(_latest_end(of, of.task.spec), of.now + LONGEST)


def _latest_end(of: Pending, spec: AgentTaskSpec) -> datetime:
    """Return when the task has ended at the latest."""
    waits_until = of.task.created + timedelta(seconds=spec.start_deadline_seconds)
    own = of.task.status.deadline or waits_until + timedelta(seconds=longest_life(spec))
    above = inherited_deadline(of.lineage)
    return own if above is None else min(own, above)


def against(saying: Saying, of: Pending, me: str) -> Outcome | None:
    """Return what is to be said where there is nothing to be done, or it would be for nothing; else None."""
    name = f"AgentTask {of.task.namespace}/{of.task.name}"
    why = _nothing_to_ask(saying, of) or (_overruled(of, me) if saying.is_yes else None)
    if why is None and (mine := said_already(saying, of, me)) is not None:
        return Outcome(of.body, Result.UNCHANGED, _already(of, mine))
    if why is None and saying.is_yes:
        why = _needs_none(of)
    return None if why is None else Outcome(of.body, Result.REFUSED, f"{name} {why}")


def _nothing_to_ask(saying: Saying, of: Pending) -> str | None:
    spec, request = of.task.spec, of.request
    if is_over(of.body) or (spec is not None and spec.state is DesiredState.ENDED):
        return f"has ended ({how_it_ended(of.body)}), which is final: there is nothing to decide any more."
    if spec is None:
        return f"cannot be read by this version of agentid ({of.task.invalid}). Use that of the operator."
    if request is None:
        return "names nobody who asked for it, so that nobody can approve it. `agentid doctor` says why."
    if spec.break_glass is not None:
        return "is an emergency, for which nobody's word is asked; `agentid end` ends it."
    if saying.spec_hash not in {None, request.spec_hash}:
        return (
            f"is not what {saying.spec_hash} is of any more: it asks for {request.spec_hash} now. Look again "
            f"with `agentid approvals {of.task.name} -n {of.task.namespace}`."
        )
    return None


def _overruled(of: Pending, me: str) -> str | None:
    """Say why a yes of this person would count for nothing; None if it may count."""
    where, request = f"{of.task.name} -n {of.task.namespace}", of.request
    if request is not None and (why := request.barred.get(me)) is not None:
        return f"is not yours to approve: {me} {why}. It is for {who_may_approve(request)}."
    if of.consent is not None and of.consent.denied is not None:
        return (
            f"is {of.consent.denied}. A no wins until its AgentApproval is deleted or the intent is changed; "
            f"`agentid approvals {where}` shows it."
        )
    return None


def _needs_none(of: Pending) -> str | None:
    """Say that no approval is wanted; one that runs by an approval may have another."""
    where = f"{of.task.name} -n {of.task.namespace}"
    if of.waits or of.approved_by:
        return None
    if not standing(of.body):
        return "has not been looked at by an operator yet. Try again in a moment."
    return f"does not wait for an approval: it is {standing(of.body)}. `agentid why {where}` says why."


def said_already(saying: Saying, of: Pending, me: str) -> Word | None:
    """Return the word of this person that says the same already, and as long."""
    wanted = until(saying, of) if saying.expires is not None else None
    for each in of.words:
        spec = each.facts.spec
        if each.why_not is not None or each.username != me or spec is None:
            continue
        lasts = wanted is None or spec.expires_at is None or spec.expires_at >= wanted
        if spec.decision is saying.decision and lasts:
            return each
    return None


def _already(of: Pending, mine: Word) -> str:
    name = f"AgentTask {of.task.namespace}/{of.task.name}"
    spec = mine.facts.spec
    done = "approved" if mine.is_yes else "denied"
    expires = spec.expires_at if spec is not None else None
    lasts = f", until {format_time(expires)}" if expires is not None else ""
    said = f"you have {done} {name} as it is already (AgentApproval {mine.facts.name}{lasts})"
    return f"{said}; it still waits: {of.message}" if of.waits and mine.is_yes else said
