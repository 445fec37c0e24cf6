"""How the story of a task is told: who asked, who decided, what was issued, and how it ended."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentid.api.fields import format_time
from agentid.cli.audit.filtering import names, taken_away
from agentid.cli.audit.standing import Placed
from agentid.cli.audit.story import Story
from agentid.cli.audit.uses import Used, sentence
from agentid.cli.telling import Row, person
from agentid.lifecycle.journal import GIVES, Kind
from agentid.policy.wording import rule_told
from agentid.watched.facts import moment, text

NO_USE: Final = "not recorded in this ledger: only a decision point sees what an identity is used for"
NOT_ASKED: Final = "no decision point that reports here was asked about it"
_SAID: Final[Mapping[str, str]] = {
    Kind.ISSUED: "issued",
    Kind.RENEWED: "renewed",
    Kind.RESUMED: "resumed",
    Kind.GRANTED: "granted to its parent",
    Kind.APPROVAL_REQUIRED: "waits for an approval",
    Kind.DENIED: "denied",
    Kind.SUSPENDED: "suspended",
    Kind.WAITING: "waits",
    Kind.REVOKED: "taken away",
    Kind.ENDED: "ended",
    Kind.VOIDED: "never released",
}


def title_of(story: Story) -> tuple[str, str]:
    """Return how the task stands by its records, and the colour of that."""
    name = f"{story.namespace}/{story.task} ({story.uid})"
    if (ended := story.ended) is not None:
        return f"{name} has ended: {_reason(ended)}.", "bold"
    last = story.own[-1].record
    if last.kind in GIVES:
        return f"{name} runs; no end of it is recorded.", "bold green"
    return f"{name} {_SAID.get(last.kind, last.kind)}; no end of it is recorded.", "bold yellow"


def rows(story: Story, *, wide: bool) -> Iterator[Row]:
    """Yield who asked for what, and then what came of it, each with its time."""
    yield from _asked(story)
    before = story.last_of(GIVES) or story.own[-1]
    uses = story.uses.told()
    for each in story.records:
        while uses and uses[0].first < each.record.at:
            yield _use(uses.pop(0))
        name = f"{format_time(each.record.at)}{f'  {each.place}' if wide else ''}"
        if story.is_own(each):
            if change := _change(before, each):
                yield name, change
            before = each
        for said in _sentences(story, each):
            yield name, said
    yield from map(_use, uses)
    if not story.uses.told():
        yield "used", NOT_ASKED if story.is_watched else NO_USE


def _use(used: Used) -> Row:
    return format_time(used.first), sentence(used)


def _asked(story: Story) -> Iterator[Row]:
    """Yield what the newest record of what was given says of who asked, else the newest of all."""
    told = (story.last_of(GIVES) or story.own[-1]).record.fields
    yield "agent", text(told.get("agent")) or "not recorded"
    if requester := text(told.get("requester")):
        whom = f" on behalf of {delegator}" if (delegator := text(told.get("delegator"))) else ""
        template = f", in AgentTaskTemplate {name}" if (name := text(told.get("template"))) else ""
        yield "asked by", f"{person(requester)}{whom}{template}"
    if actions := _intent(told):
        yield "may do", actions
    if chain := names(told, "chain"):
        yield "under", ", ".join(chain)
    if begins := moment(told.get("started")):
        deadline = moment(told.get("deadline"))
        yield "from", f"{format_time(begins)}{f', at most until {format_time(deadline)}' if deadline else ''}"


def _intent(fields: Mapping[str, Any]) -> str:
    parts = [", ".join(names(fields, "actions"))]
    parts += [f"may grant {', '.join(grantable)}"] if (grantable := names(fields, "grantable")) else []
    on = f" on {', '.join(resources)}" if (resources := names(fields, "resources")) else ""
    sensitivity = text(fields.get("sensitivity"))
    return f"{'; '.join(each for each in parts if each)}{on}{f', {sensitivity}' if sensitivity else ''}"


def _change(before: Placed, now: Placed) -> str:
    """Say what was asked for, where that is not what was before; at first, not what was asked for last."""
    old, new = before.record.fields, now.record.fields
    if not all(each.get("spec_hash") for each in (old, new)) or old["spec_hash"] == new["spec_hash"]:
        return ""
    return f"asked for by {person(text(new.get('requester')))}: {_intent(new)}"


def _sentences(story: Story, placed: Placed) -> Iterator[str]:
    fields, kind = placed.record.fields, placed.record.kind
    said = _SAID.get(kind, kind)
    if not story.is_own(placed):
        said = f"child {text(fields.get('task'))} ({text(fields.get('uid'))}) {said}"
    elif kind == Kind.GRANTED:
        said = f"{said}: {_intent(fields)}"
    if kind in GIVES:
        yield f"{said}{_credential(fields)}"
        yield from _why(fields)
    else:
        reason, message = text(fields.get("reason")), text(fields.get("message"))
        yield f"{said}{f' ({reason})' if reason else ''}{f': {message}' if message else ''}"
    gone = [f"serial {serial}, which would have lasted until {until}" for serial, until in taken_away(fields)]
    if gone:
        head = "nobody ever had" if kind == Kind.VOIDED else "counts no longer"
        yield f"{head}: {'; '.join(gone)}"


def _credential(fields: Mapping[str, Any]) -> str:
    serial, until = text(fields.get("serial")), text(fields.get("not_after"))
    if not serial:
        return ""
    pod = f", for pod {uid}" if (uid := text(fields.get("pod_uid"))) else ", bound to no pod"
    beside = f", with {', '.join(held)}" if (held := names(fields, "static_secrets")) else ""
    return f": serial {serial} until {until}{pod}{beside}"


def _why(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield who let it happen."""
    if rules := names(fields, "policies"):
        yield f"decided by {'; '.join(map(rule_told, rules))}"
    if approvers := names(fields, "approvers"):
        yield f"approved by {', '.join(map(person, approvers))}"
    if fields.get("break_glass") is True:
        yield f"an emergency: {text(fields.get('justification'))}"


def _reason(ended: Placed) -> str:
    return text(ended.record.fields.get("reason")) or "for no recorded reason"
