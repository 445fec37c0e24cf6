"""The kinds of agentid: how each is called, what it says, and what kubectl shows of it."""

from dataclasses import dataclass
from typing import Final

from agentid.api.agent import AgentSpec, AgentStatus
from agentid.api.agentapproval import AgentApprovalSpec
from agentid.api.agentpolicy import PolicySpec, PolicyStatus
from agentid.api.agentsecret import AgentSecretSpec
from agentid.api.agenttask import AgentTaskSpec
from agentid.api.agenttask_status import AgentTaskStatus
from agentid.api.agenttasktemplate import AgentTaskTemplateSpec
from agentid.api.decisioncheckpoint import DecisionCheckpointSpec
from agentid.api.fields import Model, Rule
from agentid.api.ledgerbatch import LedgerBatchSpec
from agentid.api.names import GROUP


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `kubectl get`; `wide` ones show with `-o wide` only."""

    name: str
    path: str
    description: str
    type: str = "string"
    wide: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """What a CRD says about a kind beside the schema of its spec and status."""

    name: str
    plural: str
    short_names: tuple[str, ...]
    description: str
    spec: type[Model]
    status: type[Model] | None
    name_rule: Rule
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    scope: str = "Namespaced"

    @property
    def crd_name(self) -> str:
        """Name of the CustomResourceDefinition."""
        return f"{self.plural}.{GROUP}"


_AGE: Final = Column("Age", ".metadata.creationTimestamp", "Time since creation.", type="date")

AGENT_TASK: Final = Kind(
    name="AgentTask",
    plural="agenttasks",
    short_names=("atask",),
    description="One task of one agent: what it is for and what it may do, where it runs, and the identity "
    "that it has for as long as it runs.",
    spec=AgentTaskSpec,
    status=AgentTaskStatus,
    name_rule=Rule(
        "self.metadata.name.size() <= 63",
        "must be at most 63 characters: pods carry it as the value of the label agentid.dev/task",
        ".metadata.name",
    ),
    columns=(
        Column("Agent", ".spec.agentRef.name", "The agent that does the task."),
        Column(
            "Status",
            '.status.conditions[?(@.type=="Finished")].reason',
            "How the task stands: reason of the condition Finished.",
        ),
        Column("Expires", ".status.deadline", "When the running task ends at the latest."),
        _AGE,
        Column("SPIFFE-ID", ".status.spiffeID", "The identity of the task.", wide=True),
        Column("Delegator", ".spec.onBehalfOf", "For whom the task is done.", wide=True),
        Column("Pod", ".status.boundPod.name", "The pod that holds the credential.", wide=True),
        Column(
            "Credential-Expires",
            ".status.credentials[-1:].notAfter",
            "When the newest credential ends unless it is renewed.",
            wide=True,
        ),
    ),
    rules=(
        Rule(
            "!has(self.spec.parentRef) || self.spec.parentRef.name != self.metadata.name",
            "parentRef names the task itself: name the task that it is a child of, or leave parentRef out",
            ".spec.parentRef.name",
        ),
    ),
)

AGENT: Final = Kind(
    name="Agent",
    plural="agents",
    short_names=(),
    description="The platform team's record of one agent: who answers for it, and the ceiling over "
    "everything that its tasks may ask for.",
    spec=AgentSpec,
    status=AgentStatus,
    name_rule=Rule(
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 63",
        "must be at most 63 lower case letters, digits and '-': it is part of each task's SPIFFE ID",
        ".metadata.name",
    ),
    columns=(
        Column("Class", ".spec.class", "Ephemeral or Recurring."),
        Column("Owner", ".spec.owner", "Who answers for it."),
        Column("Review-By", ".spec.reviewBy", "When somebody has to have looked at it again."),
        Column("Disabled", ".spec.disabled", "The off switch.", type="boolean"),
        Column("Live", ".status.tasks.live", "Tasks from first credential to end.", type="integer"),
        _AGE,
        Column("Waiting", ".status.tasks.waiting", "Tasks without one yet.", type="integer", wide=True),
        Column("Recent", ".status.tasks.recent", "Tasks that have ended.", type="integer", wide=True),
    ),
)

AGENT_TASK_TEMPLATE: Final = Kind(
    name="AgentTaskTemplate",
    plural="agenttasktemplates",
    short_names=("atemplate",),
    description="What each run of a Job or CronJob gets as its own task: a Job's pod that carries the label "
    "agentid.dev/template: <name> gets the task that is made for that Job, and named like it.",
    spec=AgentTaskTemplateSpec,
    status=None,
    name_rule=Rule(
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 63",
        "must be at most 63 lower case letters, digits and '-': pods carry it as the value of the label "
        "agentid.dev/template",
        ".metadata.name",
    ),
    columns=(
        Column("Agent", ".spec.template.spec.agentRef.name", "The agent that does the tasks."),
        Column("Author", ".spec.author.username", "Who wrote the template as it is."),
        _AGE,
        Column("Purpose", ".spec.template.spec.intent.purpose", "What the tasks are for.", wide=True),
    ),
)

AGENT_APPROVAL: Final = Kind(
    name="AgentApproval",
    plural="agentapprovals",
    short_names=("aapproval",),
    description="One person's yes or no to one AgentTask: to its UID, as it was asked for when they looked. "
    "It can't be changed; deleting it takes it back.",
    spec=AgentApprovalSpec,
    status=None,
    name_rule=Rule(
        "self.metadata.name.size() <= 63",
        "must be at most 63 characters: messages name the approval",
        ".metadata.name",
    ),
    columns=(
        Column("Task", ".spec.taskRef.name", "The task that it is about."),
        Column("Decision", ".spec.decision", "Approve or Deny."),
        Column("Approver", ".spec.approver.username", "Who decided."),
        Column("Expires", ".spec.expiresAt", "Until when an Approve counts."),
        _AGE,
        Column("Comment", ".spec.comment", "Why.", wide=True),
    ),
)

_POLICY_NAME: Final = Rule(
    "self.metadata.name.size() <= 63",
    "must be at most 63 characters: decisions and metrics name the policy",
    ".metadata.name",
)
_POLICY_COLUMNS: Final = (
    Column(
        "Accepted",
        '.status.conditions[?(@.type=="Accepted")].status',
        "Whether the text in spec is in force; if not, the last accepted one is.",
    ),
    Column("Digest", ".status.accepted.digest", "SHA-256 over the text in force."),
    _AGE,
    Column("Rules", ".status.accepted.rules", "How many rules are in force.", type="integer", wide=True),
    Column(
        "Message",
        '.status.conditions[?(@.type=="Accepted")].message',
        "Where the text is refused, and why.",
        wide=True,
    ),
)

CLUSTER_AGENT_POLICY: Final = Kind(
    name="ClusterAgentPolicy",
    plural="clusteragentpolicies",
    short_names=(),
    description="The platform team's policy in Cedar. All ClusterAgentPolicies together are the first layer: "
    "without one of them that permits, nothing is issued in the cluster.",
    spec=PolicySpec,
    status=PolicyStatus,
    name_rule=_POLICY_NAME,
    columns=_POLICY_COLUMNS,
    scope="Cluster",
)

AGENT_POLICY: Final = Kind(
    name="AgentPolicy",
    plural="agentpolicies",
    short_names=(),
    description="A namespace's own policy in Cedar. All AgentPolicies of a namespace together are the second "
    "layer: where there is one, it has to permit too.",
    spec=PolicySpec,
    status=PolicyStatus,
    name_rule=_POLICY_NAME,
    columns=_POLICY_COLUMNS,
)

AGENT_SECRET: Final = Kind(
    name="AgentSecret",
    plural="agentsecrets",
    short_names=(),
    description="A secret that can't be short-lived: where the platform team keeps it, and which tasks may "
    "have a copy of it while they run. Only one in the operator's namespace counts.",
    spec=AgentSecretSpec,
    status=None,
    name_rule=Rule(
        "self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$') && self.metadata.name.size() <= 63",
        "must be at most 63 lower case letters, digits and '-': it is the name of a file in each task's pod",
        ".metadata.name",
    ),
    columns=(
        Column("Source", ".spec.source.secretName", "The Secret that the value is kept in."),
        Column("Key", ".spec.source.key", "Its key."),
        Column(
            "Max-TTL", ".spec.maxTTLSeconds", "The longest a task may hold it, in seconds.", type="integer"
        ),
        _AGE,
        Column("Actions", ".spec.actions", "What it is for.", wide=True),
    ),
)

LEDGER_BATCH: Final = Kind(
    name="LedgerBatch",
    plural="ledgerbatches",
    short_names=("lbatch",),
    description="Some records of the ledger: what the operator has issued, refused, renewed and taken away, "
    "chained to the batch before it and signed. Only the operator writes one, in its own namespace, and "
    "nobody changes one. agentid audit reads and verifies them.",
    spec=LedgerBatchSpec,
    status=None,
    name_rule=Rule(
        "self.metadata.name.matches('^[0-9]{16}$') && int(self.metadata.name) == self.spec.sequence",
        "must be spec.sequence in 16 digits, such as 0000000000000042: each sequence number has one batch",
        ".metadata.name",
    ),
    columns=(
        Column("Records", ".spec.count", "How many records it holds.", type="integer"),
        Column("Writer", ".spec.writer", "The operator's process that wrote it."),
        _AGE,
        Column("Root", ".spec.root", "Merkle tree hash over its records.", wide=True),
        Column("Previous", ".spec.previousHash", "Hash of the batch before it.", wide=True),
        Column("Key", ".spec.keyID", "Hash of the key that signed it.", wide=True),
    ),
)

DECISION_CHECKPOINT: Final = Kind(
    name="DecisionCheckpoint",
    plural="decisioncheckpoints",
    short_names=(),
    description="What a decision point has allowed and denied since its last report, and where its log "
    "stands. The pod writes one, named like itself, and the operator puts it into the ledger and deletes it: "
    "one that stays for minutes tells that nothing can be written there.",
    spec=DecisionCheckpointSpec,
    status=None,
    name_rule=Rule(
        "self.metadata.name.size() <= 253",
        "must be at most 253 characters: the name of a pod, or that and .end",
        ".metadata.name",
    ),
    columns=(
        Column("Log", ".spec.log", "Which log it is about."),
        Column("Number", ".spec.number", "Which report of that log it is.", type="integer"),
        _AGE,
    ),
)

KINDS: Final = (
    AGENT_TASK,
    AGENT,
    AGENT_TASK_TEMPLATE,
    CLUSTER_AGENT_POLICY,
    AGENT_POLICY,
    AGENT_APPROVAL,
    AGENT_SECRET,
    LEDGER_BATCH,
    DECISION_CHECKPOINT,
)
