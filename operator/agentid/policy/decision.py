"""What was decided, by which rules, and what would change it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from agentid.policy.layer import LayerName


class Reason(StrEnum):
    """Why a decision is as it is. All but ALLOWED deny."""

    ALLOWED = "Allowed"
    NO_CLUSTER_POLICY = "NoClusterPolicy"
    """No ClusterAgentPolicy is installed."""
    NO_NAMESPACE_POLICY = "NoNamespacePolicy"
    """The namespace requires a policy of its own and has none."""
    TOO_MUCH_POLICY = "TooMuchPolicy"
    """The texts of a layer are more together than may be asked about."""
    TOO_MUCH_ASKED = "TooMuchAsked"
    """The facts about the task are more than may be asked about."""
    NEEDS_APPROVAL = "NeedsApproval"
    """It would be allowed, were it approved."""
    FORBIDDEN = "Forbidden"
    """A rule forbids it."""
    NO_PERMIT = "NoPermit"
    """No rule of a layer permits it."""
    POLICY_ERROR = "PolicyError"
    """A condition could not be evaluated; that denies, whatever the other rules say."""
    ENGINE_ERROR = "EngineError"
    """The question could not be asked, or the engine did not answer."""


@dataclass(frozen=True, slots=True)
class LayerDecision:
    """What one layer said.

    Attributes:
        layer: Which layer.
        digest: The digest of its policies.
        allowed: Whether it allows.
        determined_by: Names of the rules that determined it, sorted: those that permit, or that forbid; empty
            where no rule permits.
        errors: What went wrong; empty where nothing did.
        engine_failed: Whether the engine gave no answer, rather than one with errors.
    """

    layer: LayerName
    digest: str
    allowed: bool
    determined_by: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    engine_failed: bool = False


@dataclass(frozen=True, slots=True)
class ApprovalNeed:
    """What consent would turn a denial into a permission.

    Attributes:
        approvals: How many distinct people have to approve, those who did included.
        rules: The rules that need it, sorted: that permit only with it, or forbid only without.
    """

    approvals: int
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one question.

    Attributes:
        allowed: Whether it may be done.
        reason: Why, in one word.
        message: Why, for people, with what to do.
        layers: What each layer that was asked said, the cluster's first.
        at: The time it was decided for.
        holds_until: When it has to be taken again although nothing happens, as a rule may turn with time
            then; None: only when something changes.
        need: For NEEDS_APPROVAL, what is needed.
    """

    allowed: bool
    reason: Reason
    message: str
    layers: tuple[LayerDecision, ...]
    at: datetime
    holds_until: datetime | None = None
    need: ApprovalNeed | None = None

    @property
    def determined_by(self) -> tuple[str, ...]:
        """Names of the rules that determined it: of all layers if it is allowed, else of those that deny."""
        saying = (each for each in self.layers if each.allowed == self.allowed)
        return tuple(rule for each in saying for rule in each.determined_by)

    @property
    def is_said(self) -> bool:
        """Whether it is by rules, or by an error, and not because no rule says anything."""
        denying = (each for each in self.layers if not each.allowed)
        return self.allowed or any(each.determined_by or each.errors for each in denying)
