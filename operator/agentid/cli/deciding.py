"""`agentid approve` and `deny`: show what is decided on, write an AgentApproval of it, and see it through."""

import asyncio
import hashlib
import sys
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import typer
from pydantic import JsonValue

from agentid.api.fields import format_time
from agentid.api.names import API_VERSION, GROUP
from agentid.api.spec_hash import projection_text
from agentid.cli.approvals import look, review
from agentid.cli.errors import REFUSED, done
from agentid.cli.heeding import heeded
from agentid.cli.options import ListOutput
from agentid.cli.orders import Outcome, Result
from agentid.cli.pending import Pending
from agentid.cli.printing import printer, shown, told
from agentid.cli.saying import Saying, against, until
from agentid.cli.selecting import standing
from agentid.cli.session import Session, session, who_am_i
from agentid.cli.settling import find
from agentid.cli.where import Where
from agentid.cluster.connection import Body
from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ApiAnswerError,
    ForbiddenError,
    PassingError,
)
from agentid.cluster.paths import APPROVALS, TASKS
from agentid.controller.packed_task import PackedTask
from agentid.lifecycle.approvals import request_of
from agentid.watched.facts import mapping, text

_TRIES: Final = 4
_DIGEST_LENGTH: Final = 12
_MAX_NAME_LENGTH: Final = 63


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a decision, and the AgentApproval that says it; None: none was written."""

    outcome: Outcome
    approval: Body | None = None


def run(where: Where, name: str, saying: Saying, output: ListOutput) -> None:
    """Say yes or no to a task; exit with 1 if it is refused, counts for nothing, or is not acted on."""
    command = "approve" if saying.is_yes else "deny"
    seen, me = done(command, _look(where, name))
    said = against(saying, seen, me) or _shown(saying, seen, output)
    decided = Decided(said) if said is not None else done(command, _decide(where, saying, seen, me))
    _show(decided, saying, output)
    raise typer.Exit(REFUSED if decided.outcome.result in {Result.REFUSED, Result.UNSETTLED} else 0)


async def _look(where: Where, name: str) -> tuple[Pending, str]:
    async with session(where) as here:
        return await look(here, name), (await who_am_i(here))[0]


async def _decide(where: Where, saying: Saying, seen: Pending, me: str) -> Decided:
    async with session(where) as here:
        return await decide(here, saying, seen, me)


def _shown(saying: Saying, seen: Pending, output: ListOutput) -> Outcome | None:
    """Show a task to whoever decides, and say that they do not; None: they do.

    On a terminal a yes is asked for, unless it says of what it is: who looked at the task before may have
    seen another intent.
    """
    is_open = saying.is_yes and saying.spec_hash is None and not saying.dry_run
    # A process that was started without a standard input has None.
    is_asked = is_open and sys.stdin is not None and sys.stdin.isatty()
    is_for_people = output in {ListOutput.TABLE, ListOutput.WIDE}
    if is_for_people or is_asked:
        review(seen, printer(aside=not is_for_people))
        typer.echo(err=not is_for_people)
    if not is_asked or typer.confirm("Approve just this?", err=True):
        return None
    return Outcome(seen.body, Result.REFUSED, "Nothing was approved.")


async def decide(here: Session, saying: Saying, seen: Pending, me: str) -> Decided:
    """Say yes or no to a task as it was shown, and to nothing else.

    Args:
        here: The cluster.
        saying: What is to be said.
        seen: The task as it was shown.
        me: Who says it.
    """
    if (changed := await _changed(here, seen)) is not None:
        return Decided(changed)
    body = approval_of(saying, seen, me, until(saying, seen))
    try:
        written = await _write(here, body, dry_run=saying.dry_run)
    except ApiAnswerError as error:
        return Decided(Outcome(seen.body, Result.REFUSED, _refusal(seen, error)))
    if saying.dry_run or not saying.within_seconds:
        return Decided(Outcome(seen.body, Result.DONE), written)
    return Decided(await heeded(here, saying, seen, written), written)


async def _changed(here: Session, seen: Pending) -> Outcome | None:
    """Say that a task is not as it was shown any more; None: it is."""
    namespace, name = seen.task.namespace, seen.task.name
    task = await find(here, namespace, name)
    where = f"AgentTask {namespace}/{name}"
    if task is None or mapping(task.get("metadata")).get("uid") != seen.task.uid:
        said = f"{where} is another one by now, or gone: the one that was shown is no more. Look again."
        return Outcome(seen.body, Result.REFUSED, said)
    request, shown_as = request_of(PackedTask.of(task).facts(), seen.lineage), seen.request
    if request is not None and shown_as is not None and request.spec_hash == shown_as.spec_hash:
        return None
    said = (
        f"{where} was changed since it was shown. Look again with `agentid approvals {name} -n {namespace}`."
    )
    return Outcome(task, Result.REFUSED, said)


def approval_of(saying: Saying, of: Pending, me: str, expires: datetime | None) -> Body:
    """Return the AgentApproval that says it of a task as it was shown.

    Its name is the same for the same word, so that one whose answer was lost is not said twice.

    Raises:
        ValueError: the task cannot be read.
    """
    request, spec = of.request, of.task.spec
    if request is None or spec is None:
        raise ValueError("an approval is of a task that can be read")
    said: dict[str, Any] = {
        "taskRef": {"name": request.name, "uid": request.uid},
        "specHash": request.spec_hash,
        "intentGeneration": request.intent_generation,
        "projection": projection_text(spec),
        "decision": saying.decision.value,
        # An API server that does not stamp wants both typed; one that does writes over them.
        "approver": {"username": me},
    }
    said |= {"comment": saying.comment} if saying.comment is not None else {}
    said |= {"expiresAt": format_time(expires)} if expires is not None else {}
    owner = {"apiVersion": API_VERSION, "kind": TASKS.kind, "name": request.name, "uid": request.uid}
    metadata = {"namespace": request.namespace, "name": _name(request.name, said), "ownerReferences": [owner]}
    return {"apiVersion": API_VERSION, "kind": APPROVALS.kind, "metadata": metadata, "spec": said}


def _name(task: str, said: dict[str, Any]) -> str:
    key = "\n".join(
        str(said.get(each))
        for each in ("taskRef", "specHash", "decision", "approver", "comment", "expiresAt")
    )
    digest = hashlib.sha256(key.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{task[: _MAX_NAME_LENGTH - _DIGEST_LENGTH - 1].rstrip('.-')}-{digest}"


async def _write(here: Session, body: Body, *, dry_run: bool) -> Body:
    """Create an AgentApproval, or return the one that is there and says the same.

    Raises:
        ApiAnswerError: it is refused, or no answer comes.
    """
    path, params = APPROVALS.path(body["metadata"]["namespace"]), {"dryRun": "All"} if dry_run else None
    for attempt in range(1, _TRIES + 1):
        try:
            return await here.connection.post(path, body, params)
        except AlreadyExistsError:
            return await _same(here, body)
        except PassingError:
            # To say it again does no harm, where it was said after all.
            if attempt == _TRIES:
                raise
            await asyncio.sleep(attempt)
    raise AssertionError("the last attempt returns or raises")


async def _same(here: Session, body: Body) -> Body:
    """Return the AgentApproval of that name, if it says the same by the same person.

    Raises:
        AlreadyExistsError: it does not.
    """
    namespace, name = body["metadata"]["namespace"], body["metadata"]["name"]
    there = await here.connection.get(APPROVALS.path(namespace, name))
    wanted, found = body["spec"], mapping(there.get("spec"))
    by = mapping(found.get("approver")).get("username")
    if by == wanted["approver"]["username"] and all(
        found.get(key) == each for key, each in wanted.items() if key != "approver"
    ):
        return there
    raise AlreadyExistsError(f"AgentApproval {namespace}/{name} is somebody else's; try again")


def _refusal(of: Pending, error: ApiAnswerError) -> str:
    said = text(error.status.get("message")) or str(error)
    is_rbac = isinstance(error, ForbiddenError) and not isinstance(error, AdmissionRefusedError)
    gives = f"; ClusterRole agentid-approver gives that, bound in {of.task.namespace}" if is_rbac else ""
    return f"AgentTask {of.task.namespace}/{of.task.name}: {said}{gives}"


def _show(decided: Decided, saying: Saying, output: ListOutput) -> None:
    outcome, approval = decided.outcome, decided.approval
    metadata = mapping(outcome.task.get("metadata"))
    if output in {ListOutput.JSON, ListOutput.YAML}:
        typer.echo(told(_answer(decided, saying), output))
    elif outcome.result is Result.DONE and approval is not None:
        by = text(mapping(approval.get("metadata")).get("name"))
        if output is ListOutput.NAME:
            typer.echo(f"agentapproval.{GROUP}/{by}")
        else:
            expires = text(mapping(approval.get("spec")).get("expiresAt"))
            lasts = f", until {expires}" if expires else ""
            how = f"; it is {standing(outcome.task)}" if standing(outcome.task) else ""
            typer.echo(f"{text(metadata.get('name'))} {saying.done} (AgentApproval {by}{lasts}){how}")
    if outcome.message:
        typer.echo(shown(outcome.message), err=True)


def _answer(decided: Decided, saying: Saying) -> JsonValue:
    outcome = decided.outcome
    metadata = mapping(outcome.task.get("metadata"))
    answer: dict[str, JsonValue] = {
        "namespace": text(metadata.get("namespace")),
        "name": text(metadata.get("name")),
        "uid": text(metadata.get("uid")),
        "decision": saying.decision.value,
        "result": outcome.result.value,
        "message": outcome.message,
        "status": standing(outcome.task),
        "dryRun": saying.dry_run,
        "approval": None,
    }
    if decided.approval is not None:
        said = mapping(decided.approval.get("spec"))
        kept = ("intentGeneration", "specHash", "projection", "expiresAt", "comment")
        name = text(mapping(decided.approval.get("metadata")).get("name"))
        answer["approval"] = {"name": name, **{key: said.get(key) for key in kept}}
    return answer
