"""All that a policy may ask about, in one table: the Cedar schema and its documentation are made from it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Action(StrEnum):
    """What a decision is about."""

    ISSUE = "issue"
    RENEW = "renew"
    RESUME = "resume"
    DELEGATE = "delegate"
    USE_SECRET = "useSecret"  # noqa: S105 - the name of an action
    USE_AUDIENCE = "useAudience"
    USE = "use"


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: its name, its Cedar type or the parts of its record, and what it means.

    An optional one needs `has` before it is read: the schema refuses a policy that does without.
    """

    name: str
    type: str
    meaning: str
    optional: bool = False
    parts: tuple["Attribute", ...] = ()


@dataclass(frozen=True, slots=True)
class ActionRow:
    """One action: when it is asked about, and what its context has beside what all have."""

    action: Action
    meaning: str
    evaluated: str
    context: tuple[Attribute, ...] = ()


def _record(name: str, meaning: str, *parts: Attribute, optional: bool = False) -> Attribute:
    return Attribute(name, "record", meaning, optional, parts)


_STRING, _LONG, _BOOL, _TIME, _STRINGS = "String", "Long", "Bool", "datetime", "Set<String>"
LABELS: Final = "Labels"
PARAMETERS: Final = "Parameters"

PRINCIPAL: Final = (
    Attribute("namespace", _STRING, "Namespace of the Agent, which is also the task's."),
    Attribute("name", _STRING, "Name of the Agent."),
    Attribute("owner", _STRING, "Who answers for it: `spec.owner`."),
    Attribute("class", _STRING, "`Ephemeral` or `Recurring`."),
    Attribute("actions", _STRINGS, "The most that its tasks may ask for, as written: may hold `orders:*`."),
    Attribute("serviceAccounts", _STRINGS, "Service accounts whose pods may work for its tasks."),
    Attribute("maxSensitivity", _LONG, "0 Public, 1 Internal, 2 Confidential, 3 Restricted."),
    Attribute("maxActiveDeadlineSeconds", _LONG, "The longest deadline its tasks may ask for, in seconds."),
    Attribute("disabled", _BOOL, "The off switch."),
    Attribute("reviewBy", _TIME, "When its record has to have been looked at again.", optional=True),
)

RESOURCE: Final = (
    Attribute("namespace", _STRING, "Namespace of the task."),
    Attribute("name", _STRING, "Name of the task."),
    Attribute("uid", _STRING, 'UID of the task; also the id of the entity: `Task::"<uid>"`.'),
    Attribute("purpose", _STRING, "What the task is for, as its author wrote it."),
    Attribute("session", _STRING, "The conversation or run it belongs to.", optional=True),
    Attribute("actions", _STRINGS, "What may be done with the identity."),
    Attribute("grantable", _STRINGS, "What may be given to a child task, never done directly."),
    Attribute("resources", _STRINGS, "What it may be done to; empty: not said."),
    Attribute("sensitivity", _LONG, "0 Public, 1 Internal, 2 Confidential, 3 Restricted."),
    Attribute("activeDeadlineSeconds", _LONG, "The task's hard end, in seconds from its first credential."),
    Attribute("startDeadlineSeconds", _LONG, "How long it may wait for its first credential, in seconds."),
    _record(
        "credential",
        "How the credential is delivered and how long each one lives.",
        Attribute("mode", _STRING, "`Secret`, `Request`, `PodCertificate` or `None`."),
        Attribute("ttlSeconds", _LONG, "Life of each credential, in seconds."),
        Attribute("renew", _BOOL, "Whether it is renewed until the deadline."),
        Attribute("audiences", _STRINGS, "Audiences of the JWT-SVIDs asked for."),
    ),
    Attribute("bound", _BOOL, "Whether a workload is named. false: bound to the task alone, to no pod."),
    _record(
        "workload",
        "Where the task runs; there where `bound` is true.",
        Attribute("serviceAccountName", _STRING, "The service account asked for.", optional=True),
        Attribute("apiVersion", _STRING, "API version of `workload.ref`, such as batch/v1.", optional=True),
        Attribute("kind", _STRING, "Kind of `workload.ref`, such as Job.", optional=True),
        Attribute("name", _STRING, "Name of `workload.ref`.", optional=True),
        Attribute("replacement", _STRING, "`Never` or `Allow`."),
        optional=True,
    ),
    Attribute("staticSecrets", _STRINGS, "Names of the static secrets asked for."),
    Attribute("depth", _LONG, "0 for a task without a parent, 1 for its child, and so on."),
)

CONTEXT: Final = (
    _record(
        "requester",
        "Who created the task or last changed its intent, as admission stamped it.",
        Attribute("username", _STRING, "User name as the API server authenticated it."),
        Attribute("groups", _STRINGS, "Groups as the API server authenticated them."),
    ),
    Attribute(
        "delegator", _STRING, "For whom the task is done: `spec.onBehalfOf`, or its parent's.", optional=True
    ),
    _record(
        "parent",
        "The task it is a child of.",
        Attribute("name", _STRING, "Name of the parent."),
        Attribute("uid", _STRING, "UID of the parent."),
        Attribute("agent", _STRING, "Name of the parent's Agent."),
        Attribute("requester", _STRING, "User name of the parent's requester."),
        optional=True,
    ),
    _record(
        "chain",
        "All tasks above it, up to the one without a parent; empty sets for a task without a parent.",
        Attribute("uids", _STRINGS, "Their UIDs."),
        Attribute("agents", _STRINGS, "Names of their Agents."),
        Attribute("requesters", _STRINGS, "User names of their requesters."),
    ),
    Attribute("approved", _BOOL, "Whether at least one approval counts for this task as it is now."),
    Attribute("approvals", _LONG, "How many distinct people have approved."),
    Attribute("approvers", _STRINGS, "User names of those people."),
    Attribute("approverGroups", _STRINGS, "All groups of those people together."),
    Attribute(
        "breakGlass", _BOOL, "Whether this is an emergency: approvals and namespace policies are skipped."
    ),
    Attribute("time", _TIME, "Now, to the millisecond."),
    Attribute("hour", _LONG, "Hour of the day in UTC, 0 to 23."),
    Attribute("weekday", _LONG, "Day of the week in UTC, 1 Monday to 7 Sunday."),
    _record(
        "environment",
        "Where the task is.",
        Attribute("trustDomain", _STRING, "Trust domain of this cluster."),
        Attribute("clusterLabels", LABELS, "Labels given to this cluster at installation, as tags."),
        Attribute("namespaceLabels", LABELS, "Labels of the task's namespace, as tags."),
    ),
    Attribute("serviceAccount", _STRING, "Service account of the pod, once there is a pod.", optional=True),
    Attribute("images", _STRINGS, "Images of all containers as the pod's spec writes them; empty: no pod."),
    Attribute(
        "imageRegistries", _STRINGS, "Registry of each of these images; `docker.io` where none is written."
    ),
    Attribute("imagesPinned", _BOOL, "Whether there are images and each is written with its digest."),
)

_RUNNING: Final = Attribute(
    "runningImages", _STRINGS, "Images that really run, with digests; empty: none is running."
)

ACTIONS: Final = (
    ActionRow(Action.ISSUE, "A task gets its first credential, or one for a changed intent.", "at issue"),
    ActionRow(
        Action.RENEW, "A running task gets the next credential, or keeps its own.", "at issue", (_RUNNING,)
    ),
    ActionRow(Action.RESUME, "A suspended task gets a credential again.", "at issue", (_RUNNING,)),
    ActionRow(
        Action.DELEGATE,
        "A task takes its authority from a parent or a delegator; asked beside all that is asked of it.",
        "at issue",
    ),
    ActionRow(
        Action.USE_SECRET,
        "A task gets a static secret; asked for each one beside what is asked of the task.",
        "at issue",
        (
            _record(
                "secret",
                "The AgentSecret asked for.",
                Attribute("name", _STRING, "Its name."),
                Attribute("maxTTLSeconds", _LONG, "The longest a task may hold it, in seconds."),
            ),
        ),
    ),
    ActionRow(
        Action.USE_AUDIENCE,
        "A task gets a JWT-SVID for an audience; to be asked for each one beside `issue`.",
        "not in this version",
        (Attribute("audience", _STRING, "The audience asked for."),),
    ),
    ActionRow(
        Action.USE,
        "The identity is used: a decision point asks about one call. Of a step, it is asked with the step as "
        "the resource.",
        "at each call",
        (
            _RUNNING,
            Attribute("operation", _STRING, "Which of the task's actions the call is, such as orders:read."),
            Attribute("target", _STRING, "What it is done to, such as order/4711.", optional=True),
            Attribute("tool", _STRING, "The tool that is called.", optional=True),
            Attribute("session", _STRING, "The session that the call is part of.", optional=True),
            Attribute("parameters", PARAMETERS, "The call's parameters, as tags."),
        ),
    ),
)

PARAMETER: Final = (
    Attribute("text", _STRING, "The value as text, where it is text.", optional=True),
    Attribute("number", _LONG, "The value as a whole number, where it is one.", optional=True),
    Attribute("flag", _BOOL, "The value, where it is true or false.", optional=True),
)

TIME_ATTRIBUTES: Final = frozenset({"time", "hour", "weekday"})
"""Attributes of the context that change while nothing else does."""
