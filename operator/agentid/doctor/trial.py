"""One identity from apply to gone, in a namespace of the caller's choice: what `helm test` runs.

The Agent and the task have one fixed name, so that a Role can allow exactly these and their Secret.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from agentid.api.names import API_VERSION, secret_name
from agentid.api.reasons import ConditionType
from agentid.cluster.connection import Body
from agentid.cluster.errors import (
    AdmissionRefusedError,
    AlreadyExistsError,
    ApiAnswerError,
    ForbiddenError,
    NotFoundError,
)
from agentid.cluster.paths import AGENTS, SECRETS, TASKS, Resource
from agentid.doctor.finding import Finding, problem, unseen, well
from agentid.doctor.look import Look

NAME: Final = "doctor-trial"
ISSUE: Final = "a credential is issued"
END: Final = "it is taken away"
REMOVED: Final = "nothing is left"
_OWN: Final = {"app.kubernetes.io/managed-by": "agentid-doctor"}
_POLL_SECONDS: Final = 0.1
_ALIVE_SECONDS: Final = 60
_REASON: Final = "the trial of agentid doctor is over"


@dataclass(frozen=True, slots=True)
class Waited:
    """What was waited for: what was last seen, and whether it came in time.

    Attributes:
        came: Whether it came.
        seconds: How long it took, or how long was waited.
        last: What was last seen.
    """

    came: bool
    seconds: float
    last: str


class Trial:
    """Makes an Agent and a task bound to no pod, sees the credential come and go, and removes both."""

    def __init__(
        self, look: Look, namespace: str, elapsed: Callable[[], float], *, within_seconds: float
    ) -> None:
        self._look = look
        self._namespace = namespace
        self._elapsed = elapsed
        self._within = within_seconds
        self._secret_unseen: str | None = None

    async def run(self) -> list[Finding]:
        """Run it and return what was seen; what it made is removed in any case.

        Raises:
            ApiAnswerError: the API server does not even say who asks.
        """
        me = await self._look.who_am_i()
        findings: list[Finding] = []
        try:
            await self._remove()
            began = self._elapsed()
            await self._make(me)
            issued = await self._wait(self._issued, since=began)
            findings.append(judge_issue(issued, self._where))
            if issued.came:
                began = self._elapsed()
                await self._end(me)
                findings.append(judge_end(await self._wait(self._taken_away, since=began), self._where))
        except ApiAnswerError as error:
            findings.append(judge_refusal(error))
        finally:
            findings += await self._tidy()
        if self._secret_unseen is not None:
            findings.append(
                unseen(
                    ISSUE,
                    self._secret_unseen,
                    f"Allow get on Secret {secret_name(NAME)} in {self._namespace}.",
                )
            )
        return findings

    @property
    def _where(self) -> str:
        return f"AgentTask {self._namespace}/{NAME}"

    async def _make(self, me: str) -> None:
        connection = self._look.connection
        metadata = {"name": NAME, "namespace": self._namespace, "labels": _OWN}
        agent: Body = {
            "apiVersion": API_VERSION,
            "kind": AGENTS.kind,
            "metadata": metadata,
            "spec": {
                "owner": me[:253],
                "class": "Ephemeral",
                "actions": ["doctor:try"],
                "maxActiveDeadlineSeconds": _ALIVE_SECONDS,
            },
        }
        await connection.post(AGENTS.path(self._namespace), agent)
        task: Body = {
            "apiVersion": API_VERSION,
            "kind": TASKS.kind,
            "metadata": metadata,
            "spec": {
                "agentRef": {"name": NAME},
                "intent": {
                    "purpose": "Find out whether a credential comes and goes",
                    "actions": ["doctor:try"],
                    # As the default policy allows it to a task without a pod.
                    "sensitivity": "Public",
                },
                "credential": {"ttlSeconds": 30},
                # Where this program is killed, the task is over soon and goes by itself.
                "startDeadlineSeconds": _ALIVE_SECONDS,
                "activeDeadlineSeconds": _ALIVE_SECONDS,
                "ttlSecondsAfterFinished": _ALIVE_SECONDS,
                # Stamped anyway, except where the API server cannot: there it has to be typed.
                "requester": {"username": me},
                "stateChangedBy": {"username": me},
            },
        }
        await connection.post(TASKS.path(self._namespace), task)

    async def _end(self, me: str) -> None:
        change = {"spec": {"state": "Ended", "stateReason": _REASON, "stateChangedBy": {"username": me}}}
        await self._look.connection.merge(TASKS.path(self._namespace, NAME), change)

    async def _issued(self) -> tuple[bool, str]:
        task = await self._look.find(TASKS, self._namespace, NAME)
        said = _condition(task, ConditionType.CREDENTIAL_ISSUED) or _condition(task, ConditionType.FINISHED)
        status = ((task or {}).get("status") or {}) if task else {}
        has = _is_true(task, ConditionType.CREDENTIAL_ISSUED) and bool(status.get("credentials"))
        return has and await self._has_secret() is not False, said

    async def _taken_away(self) -> tuple[bool, str]:
        task = await self._look.find(TASKS, self._namespace, NAME)
        over = _is_true(task, ConditionType.FINISHED) and not (task or {}).get("status", {}).get(
            "credentials"
        )
        secret = await self._has_secret()
        kept = f"Secret {secret_name(NAME)} is still there; " if secret else ""
        return over and not secret, kept + _condition(task, ConditionType.FINISHED)

    async def _has_secret(self) -> bool | None:
        """Return whether the Secret is there; None where that may not be seen."""
        try:
            return await self._look.metadata_of(SECRETS, self._namespace, secret_name(NAME)) is not None
        except ForbiddenError as error:
            self._secret_unseen = (
                f"You may not see the Secret's metadata, so only the status was waited for: {error}"
            )
            return None

    async def _wait(self, until: Callable[[], Awaitable[tuple[bool, str]]], *, since: float) -> Waited:
        while True:
            came, last = await until()
            seconds = self._elapsed() - since
            if came or seconds > self._within:
                return Waited(came, seconds, last or "no status yet: the operator has not looked at it")
            await asyncio.sleep(_POLL_SECONDS)

    async def _tidy(self) -> list[Finding]:
        try:
            await self._remove()
        except ApiAnswerError as error:
            return [judge_leftover(error, self._namespace)]
        return [well(REMOVED, f"The AgentTask and the Agent {NAME} are removed.")]

    async def _remove(self) -> None:
        """Remove task and Agent of this or an earlier trial, and wait until they are gone."""
        for resource in (TASKS, AGENTS):
            await self._remove_one(resource)

    async def _remove_one(self, resource: Resource) -> None:
        began = self._elapsed()
        while (found := await self._look.find(resource, self._namespace, NAME)) is not None:
            metadata = found["metadata"]
            if (metadata.get("labels") or {}).get("app.kubernetes.io/managed-by") != _OWN[
                "app.kubernetes.io/managed-by"
            ]:
                raise AlreadyExistsError(
                    f"{resource.kind} {self._namespace}/{NAME} is there and not of a trial; rename it"
                )
            if self._elapsed() - began > self._within:
                raise AlreadyExistsError(
                    f"{resource.kind} {self._namespace}/{NAME} was deleted and does not go; "
                    "see to its finalizers"
                )
            options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": metadata["uid"]}}
            try:
                await self._look.connection.delete(resource.path(self._namespace, NAME), options)
            except NotFoundError:
                return
            await asyncio.sleep(_POLL_SECONDS)


def judge_refusal(error: ApiAnswerError) -> Finding:
    """Say that the trial could not go on: RBAC does not let who asks, or something is wrong."""
    if isinstance(error, ForbiddenError) and not isinstance(error, AdmissionRefusedError):
        remedy = (
            "Use a namespace that agentid serves, with the rights that docs/operations.md lists for --issue."
        )
        return unseen(ISSUE, f"You may not try it: {error}", remedy)
    return problem(ISSUE, f"The API server refused it: {error}", "The message says what to mend.")


def judge_leftover(error: ApiAnswerError, namespace: str) -> Finding:
    """Say what stays; the remedy deletes nothing that is not of a trial."""
    if isinstance(error, AlreadyExistsError):
        return problem(REMOVED, f"Not all of that name is gone: {error}", "The message says what to mend.")
    selector = ",".join(f"{label}={value}" for label, value in _OWN.items())
    said = f"What the trial made could not be removed: {error}"
    return problem(REMOVED, said, f"kubectl delete agenttask,agent -l {selector} -n {namespace}")


def judge_issue(waited: Waited, task: str) -> Finding:
    """Say whether a credential came."""
    if waited.came:
        return well(ISSUE, f"{task} had its credential, in status and Secret, after {waited.seconds:.1f} s.")
    said = f"{task} had no credential after {waited.seconds:.0f} s: {waited.last}."
    return problem(
        ISSUE, said, "Run `agentid doctor` without --issue; it says what keeps the operator from issuing."
    )


def judge_end(waited: Waited, task: str) -> Finding:
    """Say whether it was taken away."""
    if waited.came:
        return well(
            END, f"{task} was ended, and {waited.seconds:.1f} s later status and Secret held no credential."
        )
    said = (
        f"{task} was ended, and {waited.seconds:.0f} s later its credential was still there: {waited.last}."
    )
    return problem(END, said, "Look for `secret write failed` and `end not recorded` in the operator's log.")


def _of(task: Body | None, kind: ConditionType) -> Body:
    conditions = (((task or {}).get("status") or {}).get("conditions")) or []
    return next((each for each in conditions if each.get("type") == kind), {})


def _is_true(task: Body | None, kind: ConditionType) -> bool:
    return _of(task, kind).get("status") == "True"


def _condition(task: Body | None, kind: ConditionType) -> str:
    found = _of(task, kind)
    return f"{found.get('reason')}: {found.get('message')}" if found else ""
