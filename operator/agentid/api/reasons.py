"""The fixed sets of conditions, condition reasons and Event reasons; people alert and script on them."""

from enum import StrEnum


class ConditionType(StrEnum):
    """Conditions of an AgentTask, in the order in which `kubectl describe` shows them."""

    APPROVED = "Approved"
    BOUND = "Bound"
    CREDENTIAL_ISSUED = "CredentialIssued"
    GRANTED = "Granted"
    FINISHED = "Finished"
    SUCCEEDED = "Succeeded"
    STALLED = "Stalled"


class PolicyConditionType(StrEnum):
    """Conditions of a ClusterAgentPolicy or AgentPolicy."""

    ACCEPTED = "Accepted"


class PolicyReason(StrEnum):
    """Why the text of a policy is or is not in force: reason of the condition `Accepted`."""

    VALID = "Valid"
    INVALID = "Invalid"
    TOO_LARGE = "TooLarge"


class WaitReason(StrEnum):
    """Why a task has no credential yet, or for now: reason of `Finished=False`, shown as STATUS."""

    AWAITING_AGENT = "AwaitingAgent"
    AWAITING_STATIC_SECRET = "AwaitingStaticSecret"  # noqa: S105 - a reason, not a password
    CEILING_EXCEEDED = "CeilingExceeded"
    AWAITING_POLICY = "AwaitingPolicy"
    AWAITING_APPROVAL = "AwaitingApproval"
    APPROVAL_DENIED = "ApprovalDenied"
    DELEGATION_REFUSED = "DelegationRefused"
    TOO_MANY_CHILDREN = "TooManyChildren"
    AWAITING_PARENT = "AwaitingParent"
    AWAITING_WORKLOAD = "AwaitingWorkload"
    WORKLOAD_KIND_NOT_ALLOWED = "WorkloadKindNotAllowed"
    AWAITING_POD = "AwaitingPod"
    POD_MISMATCH = "PodMismatch"
    ISSUANCE_BLOCKED = "IssuanceBlocked"
    SECRET_NAME_TAKEN = "SecretNameTaken"  # noqa: S105 - a reason, not a password
    AWAITING_QUOTA = "AwaitingQuota"
    SUSPENDED = "Suspended"


class RunReason(StrEnum):
    """Reason of `Finished=False` while a credential is live."""

    RUNNING = "Running"


class EndReason(StrEnum):
    """Why a task ended: reason of `Finished=True`; the first cause wins and never changes."""

    COMPLETED = "Completed"
    FAILED = "Failed"
    POD_DELETED = "PodDeleted"
    POD_EVICTED = "PodEvicted"
    NODE_LOST = "NodeLost"
    WORKLOAD_DELETED = "WorkloadDeleted"
    PARENT_ENDED = "ParentEnded"
    SECOND_POD = "SecondPod"
    POD_CHANGED = "PodChanged"
    EXPIRED = "Expired"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
    ENDED = "Ended"
    DELETED = "Deleted"
    REVOKED = "Revoked"
    DENIED = "Denied"


class IssueReason(StrEnum):
    """Why a credential was issued or a step granted: reason of `CredentialIssued=True`, `Granted=True`."""

    ISSUED = "Issued"
    RENEWED = "Renewed"
    RESUMED = "Resumed"
    INTENT_CHANGED = "IntentChanged"
    POD_REPLACED = "PodReplaced"
    REISSUED = "Reissued"
    SECRET_ROTATED = "SecretRotated"  # noqa: S105 - a reason, not a password


class EventReason(StrEnum):
    """Reasons of the Events that agentid sends; `docs/operations.md` lists cause and remedy of each.

    Two are the reasons of a condition that holds: `PolicyAllowed` of `Approved`, and `PodBound` of `Bound`,
    which no Event has, since the one of the credential names the pod.
    """

    POLICY_ALLOWED = "PolicyAllowed"
    POD_BOUND = "PodBound"
    CREDENTIAL_ISSUED = "CredentialIssued"
    CREDENTIAL_RENEWED = "CredentialRenewed"
    CREDENTIAL_REVOKED = "CredentialRevoked"
    CREDENTIAL_DELETED = "CredentialDeleted"
    SUSPENDED = "Suspended"
    RESUMED = "Resumed"
    TASK_COMPLETED = "TaskCompleted"
    TASK_EXPIRED = "TaskExpired"
    TASK_ENDED = "TaskEnded"
    AWAITING_AGENT = "AwaitingAgent"
    AWAITING_STATIC_SECRET = "AwaitingStaticSecret"  # noqa: S105 - a reason, not a password
    CEILING_EXCEEDED = "CeilingExceeded"
    AWAITING_QUOTA = "AwaitingQuota"
    POLICY_DENIED = "PolicyDenied"
    APPROVAL_REQUIRED = "ApprovalRequired"
    APPROVAL_GRANTED = "ApprovalGranted"
    APPROVAL_DENIED = "ApprovalDenied"
    BREAK_GLASS_USED = "BreakGlassUsed"
    DELEGATION_REFUSED = "DelegationRefused"
    TOO_MANY_CHILDREN = "TooManyChildren"
    AWAITING_PARENT = "AwaitingParent"
    GRANTED = "Granted"
    POLICY_ACCEPTED = "PolicyAccepted"
    POLICY_REFUSED = "PolicyRefused"
    WORKLOAD_KIND_NOT_ALLOWED = "WorkloadKindNotAllowed"
    POD_MISMATCH = "PodMismatch"
    POD_CHANGED = "PodChanged"
    SECOND_POD = "SecondPod"
    SECRET_NAME_TAKEN = "SecretNameTaken"  # noqa: S105 - a reason, not a password
    ISSUANCE_BLOCKED = "IssuanceBlocked"
    START_DEADLINE_EXCEEDED = "StartDeadlineExceeded"
    TASK_FAILED = "TaskFailed"
    TASK_REVOKED = "TaskRevoked"
    CLEANUP_DELAYED = "CleanupDelayed"
    TASK_CREATED = "TaskCreated"
    TASK_NAME_TAKEN = "TaskNameTaken"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    TEMPLATE_REFUSED = "TemplateRefused"


class EventAction(StrEnum):
    """What the operator did or refused when it sent an Event (events.k8s.io/v1 `action`)."""

    ISSUE = "Issue"
    GRANT = "Grant"
    RENEW = "Renew"
    REVOKE = "Revoke"
    WAIT = "Wait"
    END = "End"
    CLEAN_UP = "CleanUp"
    ACCEPT = "Accept"
    CREATE = "Create"
