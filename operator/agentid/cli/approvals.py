"""`agentid approvals`: the tasks that wait for an approval, and one of them as whoever approves sees it."""

from collections.abc import Iterator, Sequence

import typer
from pydantic import JsonValue
from rich.console import Console

from agentid.api.fields import format_time
from agentid.api.names import GROUP
from agentid.api.spec_hash import projection_text
from agentid.cli.errors import finish
from agentid.cli.options import ListOutput
from agentid.cli.pending import Pending, Word, all_waiting, one
from agentid.cli.printing import paragraphs, printer, shown, span, table, told
from agentid.cli.reviewing import difference_rows, differences, rows
from agentid.cli.rights import READERS, reading
from agentid.cli.selecting import named, standing
from agentid.cli.session import Session, session
from agentid.cli.telling import Row, asked_for, next_told
from agentid.cli.titles import title_of
from agentid.cli.where import Where
from agentid.lifecycle.approvals import who_may_approve
from agentid.lifecycle.lineage import delegator
from agentid.lifecycle.model import TaskFacts

_NOT_SEEN = "?"


def run(where: Where, name: str | None, labels: str | None, output: ListOutput) -> None:
    """List what waits, or show one task."""
    finish("approvals", _list(where, labels, output) if name is None else _show(where, name, output))


async def _list(where: Where, labels: str | None, output: ListOutput) -> int:
    async with session(where) as here:
        found, unseen = await all_waiting(here, labels)
    if output in {ListOutput.JSON, ListOutput.YAML}:
        typer.echo(told({"tasks": [as_json(each) for each in found]}, output))
    elif output is ListOutput.NAME:
        for each in found:
            typer.echo(f"agenttask.{GROUP}/{each.task.name}")
    elif found:
        typer.echo(listed(found, everywhere=where.everywhere, wide=output is ListOutput.WIDE))
    else:
        place = "any namespace" if here.everywhere else f"namespace {here.namespace}"
        typer.echo(f"no AgentTask waits for an approval in {place}", err=True)
    for namespace in unseen:
        typer.echo(_unseen(namespace), err=True)
    return 0


def _unseen(namespace: str) -> str:
    return (
        f"you may not list agentapprovals.{GROUP} in namespace {namespace}, so that the approvals that there "
        f"are cannot be known; ClusterRole {READERS}, gives that"
    )


def listed(found: Sequence[Pending], *, everywhere: bool, wide: bool) -> str:
    """Return tasks that wait as a table."""
    head = ["NAMESPACE"] if everywhere else []
    head += ["NAME", "AGENT", "REQUESTER", "ON-BEHALF-OF", "ACTIONS", "SENSITIVITY", "WANTED-BY"]
    head += ["APPROVALS", "AGE"]
    head += ["RESOURCES", "PURPOSE", "APPROVED-BY"] if wide else []
    return table(head, [_cells(each, everywhere=everywhere, wide=wide) for each in found])


def _cells(of: Pending, *, everywhere: bool, wide: bool) -> list[str]:
    spec, given = of.task.spec, of.approved_by
    rule, wanted = of.need or ("", 0)
    cells = [of.task.namespace] if everywhere else []
    cells += [of.task.name]
    if spec is None:
        cells += [""] * 5
    else:
        asker = spec.asker.username if spec.asker is not None else ""
        actions = ",".join(spec.intent.actions)
        cells += [
            spec.agent_ref.name,
            asker,
            delegator(of.task, of.lineage) or "",
            actions,
            spec.intent.sensitivity.value,
        ]
    count = _NOT_SEEN if given is None else str(len(given))
    cells += [rule, f"{count}/{wanted or _NOT_SEEN}", span(of.now - of.task.created)]
    if wide and spec is not None:
        cells += [",".join(spec.intent.resources), spec.intent.purpose, ",".join(given or ())]
    return [shown(each) for each in cells + [""] * (3 if wide and spec is None else 0)]


async def _show(where: Where, name: str, output: ListOutput) -> int:
    async with session(where) as here:
        seen = await look(here, name)
    if output in {ListOutput.JSON, ListOutput.YAML}:
        typer.echo(told(shown_as_json(seen), output))
    elif output is ListOutput.NAME:
        typer.echo(f"agenttask.{GROUP}/{seen.task.name}")
    else:
        review(seen, printer())
        show_next(seen)
    if seen.consent is None:
        typer.echo(_unseen(seen.task.namespace), err=True)
    return 0


async def look(here: Session, name: str) -> Pending:
    """Return a task as whoever approves sees it.

    Raises:
        NotThereError: there is none.
        NotSeenError: the caller may not see it.
    """
    with reading(here, f"get agenttasks.{GROUP}"):
        body = await named(here, name)
    return await one(here, body)


def review(of: Pending, console: Console) -> None:
    """Print who asks for what, who may approve and who has, what exactly, and what differs from before."""
    paragraphs(*title_of(of.task), list(_asked(of)), console)
    if of.task.spec is None or of.request is None:
        return
    projection = projection_text(of.task.spec)
    title = f"What exactly is approved: intent {of.request.intent_generation}, {of.request.spec_hash}"
    paragraphs(title, "bold", list(rows(projection)), console)
    before = of.last_approved
    if of.consent is not None:
        title = "Nothing of it was approved before." if before is None else _since(before)
        changes = [] if before is None else differences(before.projection, projection)
        paragraphs(title, "bold", list(difference_rows(changes)), console)


def _asked(of: Pending) -> Iterator[Row]:
    if of.task.spec is not None:
        yield from asked_for(of.task.spec, "would do")
        yield from (("under", f"{above.name}{_asker_of(above)}") for above in of.lineage.ancestors)
        yield "asked", f"{span(of.now - of.task.created)} ago, as {of.task.namespace}/{of.task.name}"
    if of.need is not None:
        rule, wanted = of.need
        people = "one person approves" if wanted == 1 else f"{wanted} people approve"
        yield "policy", f"{rule}, allows it only when {people}"
    elif of.message:
        yield "status", f"{standing(of.body)}: {of.message}"
    if of.request is not None:
        yield "who may approve", who_may_approve(of.request)
    if of.consent is not None and of.consent.denied is not None:
        yield "denied", of.consent.denied
    for each in of.words:
        yield "approvals", _word(each)
    if of.consent is not None and not of.words:
        yield "approvals", "none so far"
    if of.lineage.flaw is not None:
        yield "not known", f"who else may not approve: {of.lineage.flaw}"


def _asker_of(task: TaskFacts) -> str:
    spec = task.spec
    if spec is None or spec.asker is None:
        return ""
    whom = f" on behalf of {spec.on_behalf_of}" if spec.on_behalf_of else ""
    return f", asked for by {spec.asker.username}{whom}"


def _word(each: Word) -> str:
    spec = each.facts.spec
    if spec is None:
        return f"{each.facts.name} cannot be read by this version of agentid, so that it counts as a no"
    said = f"{each.facts.name}: {spec.decision.value} by {_who_and_when(each)}"
    said += f", until {format_time(spec.expires_at)}" if spec.expires_at is not None else ""
    said += f": {spec.comment}" if spec.comment else ""
    return said if each.why_not is None else f"{said} (does not count: {each.why_not})"


def _since(before: Word) -> str:
    at = f" at {format_time(before.said_at)}" if before.said_at is not None else ""
    return f"What has changed since {before.username} approved it{at}"


def _who_and_when(each: Word) -> str:
    at = f" at {format_time(each.said_at)}" if each.said_at is not None else ""
    return f"{each.username or 'nobody who is known'}{at}"


def show_next(of: Pending) -> None:
    """Print by which commands what was shown is approved or denied, where it waits for that."""
    if of.waits:
        spec_hash = of.request.spec_hash if of.request is not None else None
        typer.echo(f"\n{next_told(of.task.name, of.task.namespace, spec_hash)}")


def as_json(of: Pending) -> dict[str, JsonValue]:
    """Return a task that waits as programs read it."""
    spec, request = of.task.spec, of.request
    rule, wanted = of.need or (None, None)
    given = of.approved_by
    return {
        "namespace": of.task.namespace,
        "name": of.task.name,
        "uid": of.task.uid,
        "status": standing(of.body),
        "message": of.message,
        "agent": spec.agent_ref.name if spec is not None else None,
        "requester": spec.asker.username if spec is not None and spec.asker is not None else None,
        "onBehalfOf": delegator(of.task, of.lineage),
        "intent": spec.intent.model_dump(mode="json", by_alias=True) if spec is not None else None,
        "intentGeneration": request.intent_generation if request is not None else None,
        "specHash": request.spec_hash if request is not None else None,
        "wantedBy": rule,
        "wanted": wanted,
        "approvedBy": list(given) if given is not None else None,
        "denied": of.consent.denied if of.consent is not None else None,
        "createdAt": format_time(of.task.created),
    }


def shown_as_json(of: Pending) -> dict[str, JsonValue]:
    """Return all that is shown of one task as programs read it."""
    before, spec = of.last_approved, of.task.spec
    projection = projection_text(spec) if spec is not None else None
    found = differences(before.projection, projection or "") if before is not None else []
    changed: list[JsonValue] = [
        {"field": each.field, "gone": [*each.gone], "come": [*each.come]} for each in found
    ]
    answer = as_json(of)
    answer |= {
        "mayNotApprove": dict(of.request.barred) if of.request is not None else None,
        "approvals": [_word_as_json(each) for each in of.words] if of.consent is not None else None,
        "projection": projection,
        "lastApproved": _word_as_json(before) if before is not None else None,
        "changed": changed,
    }
    return answer


def _word_as_json(each: Word) -> JsonValue:
    spec = each.facts.spec
    expires = spec.expires_at if spec is not None else None
    return {
        "name": each.facts.name,
        "decision": spec.decision.value if spec is not None else None,
        "approver": each.username or None,
        "at": format_time(each.said_at) if each.said_at is not None else None,
        "expiresAt": format_time(expires) if expires is not None else None,
        "specHash": spec.spec_hash if spec is not None else None,
        "comment": spec.comment if spec is not None else None,
        "counts": each.why_not is None,
        "whyNot": each.why_not,
    }
