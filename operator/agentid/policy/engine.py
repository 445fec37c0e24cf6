"""The decision: two layers of policy, both of which must allow; whatever goes wrong denies.

Cedar skips a rule whose condition fails, so that a `permit` wins where a `forbid` could not be evaluated.
Here an answer with any error denies. So does no answer, an exception and a panic of the engine.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import cedarpy

from agentid.policy import wording
from agentid.policy.consenting import ConsentAsked
from agentid.policy.decision import ApprovalNeed, Decision, LayerDecision, Reason
from agentid.policy.layer import Layer, LayerName
from agentid.policy.prepared import Prepared, prepare
from agentid.policy.question import Consent, Question, Use
from agentid.policy.request import Request, call_entities
from agentid.policy.schema import schema
from agentid.policy.times import Bound, next_turn

MAX_APPROVALS: Final = 5
"""The most approvals that are supposed when it is asked what consent would change."""

MAX_ASKED_BYTES: Final = 32_768
"""Of the facts in one question: what a rule takes grows with the sets that it looks at."""

MAX_MEMBERS: Final = 256
"""Of one set in a question, those of approvals too: short members are many in few bytes."""

ASK_AGAIN_AFTER: Final = timedelta(minutes=1)
"""What the engine failed at may go well the next time."""

_MAX_ERROR_LENGTH: Final = 300

_Layers = tuple[tuple[LayerName, Layer], ...]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the layers said to one request."""

    layers: tuple[LayerDecision, ...]

    @property
    def allowed(self) -> bool:
        return all(each.allowed for each in self.layers)


@dataclass(frozen=True, slots=True)
class _Case:
    """A question with the layers that have a say in it."""

    asked: Request
    entities: cedarpy.Entities
    layers: _Layers

    def answer(self, asked: Request) -> _Answer:
        return _Answer(tuple(_ask(name, layer, asked, self.entities) for name, layer in self.layers))

    def suppose(self, approvals: int, *, by_name: bool) -> _Answer:
        """Return the answer if so many people had approved: all that rules name, or people of no name."""
        given = self.asked.consent
        if by_name:
            return self.answer(self.asked.with_consent(_supposed(given, approvals, self.layers)))
        return self.answer(self.asked.with_consent(replace(given, approved=True, approvals=approvals)))


def decide(question: Question, cluster: Layer, namespace: Layer) -> Decision:
    """Decide `question` by all ClusterAgentPolicies and all AgentPolicies of its namespace.

    The namespace's layer is asked if it holds a policy. Without one it has no say, unless the namespace is
    labelled `agentid.dev/require-policy`: then it denies. In an emergency (`break_glass`) it is not asked,
    and the cluster's layer is asked as if all had approved. Never raises: what goes wrong denies.
    """
    now, use = question.now, question.use
    return _or_refusal(lambda: _asked(prepare(question), now, use, cluster, namespace), now)


def decide_prepared(
    prepared: Prepared, now: datetime, use: Use | None, cluster: Layer, namespace: Layer
) -> Decision:
    """Decide a question as it is asked at `now`, of `use` about that call. Never raises, like `decide`."""
    return _or_refusal(lambda: _asked(prepared, now, use, cluster, namespace), now)


def _or_refusal(ask: Callable[[], Decision], now: datetime) -> Decision:
    """Return what `ask` decides; what cannot be asked is denied."""
    try:
        return ask()
    except BaseException as error:
        # A panic of the engine is no Exception; only what ends the process itself passes.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        said = f"Denied, as the question could not be put to the policy engine: {_told(error)}"
        return _refusal(now, Reason.ENGINE_ERROR, said, now + ASK_AGAIN_AFTER)


def _asked(prepared: Prepared, now: datetime, use: Use | None, cluster: Layer, namespace: Layer) -> Decision:
    if not cluster.sources:
        return _refusal(now, Reason.NO_CLUSTER_POLICY, wording.INSTALL_CLUSTER_POLICY)
    if prepared.requires_policy and not namespace.sources and not prepared.break_glass:
        return _refusal(now, Reason.NO_NAMESPACE_POLICY, wording.INSTALL_NAMESPACE_POLICY)
    layers = [(LayerName.CLUSTER, cluster.about(prepared.frame.action, prepared.frame.principal["id"]))]
    if namespace.sources and not prepared.break_glass:
        layers.append((LayerName.NAMESPACE, namespace))
    if (large := next((layer for _, layer in layers if layer.too_large), None)) is not None:
        return _refusal(now, Reason.TOO_MUCH_POLICY, wording.too_large(large))
    return _decided(prepared, now, use, tuple(layers))


def _decided(prepared: Prepared, now: datetime, use: Use | None, layers: _Layers) -> Decision:
    asked = prepared.frame.request(now, use)
    for number, of, most in (
        (asked.size, "bytes", MAX_ASKED_BYTES),
        (asked.members, "members in one set", MAX_MEMBERS),
    ):
        if number > most:
            return _refusal(now, Reason.TOO_MUCH_ASKED, wording.too_much_asked(number, of, most))
    entities = prepared.entities
    if use is not None:
        entities = entities.with_added_json_str(call_entities(use), schema())
    if prepared.break_glass:
        asked = asked.with_consent(_supposed(asked.consent, MAX_APPROVALS, layers))
    case = _Case(asked, entities, layers)
    answer = case.answer(asked)
    bounds = frozenset[Bound]().union(*(layer.bounds for _, layer in layers))
    turn, again = next_turn(bounds, asked.moments, now), now + ASK_AGAIN_AFTER
    reason, message, need = _reasoned(case, answer, may_wait=not prepared.break_glass)
    return Decision(
        answer.allowed,
        reason,
        message,
        answer.layers,
        now,
        turn if reason is not Reason.ENGINE_ERROR else min(turn or again, again),
        need,
    )


def _reasoned(case: _Case, answer: _Answer, *, may_wait: bool) -> tuple[Reason, str, ApprovalNeed | None]:
    if answer.allowed:
        return Reason.ALLOWED, wording.allowed(answer.layers), None
    reason, denying = _why(answer)
    by_name = dict(case.layers)
    may_wait = may_wait and reason in {Reason.FORBIDDEN, Reason.NO_PERMIT}
    if may_wait and (need := _need(case, answer)) is not None:
        return Reason.NEEDS_APPROVAL, wording.approval_needed(need, by_name.values()), need
    return reason, wording.denied(reason, denying, by_name[denying.layer]), None


def _why(answer: _Answer) -> tuple[Reason, LayerDecision]:
    """Return the gravest reason of the layers that deny, and the first of them that has it."""
    denials = [(_reason(each), each) for each in answer.layers if not each.allowed]
    gravity = (Reason.ENGINE_ERROR, Reason.POLICY_ERROR, Reason.FORBIDDEN, Reason.NO_PERMIT)
    return min(denials, key=lambda denial: gravity.index(denial[0]))


def _reason(decision: LayerDecision) -> Reason:
    if decision.errors:
        return Reason.ENGINE_ERROR if decision.engine_failed else Reason.POLICY_ERROR
    return Reason.FORBIDDEN if decision.determined_by else Reason.NO_PERMIT


def _need(case: _Case, denied: _Answer) -> ApprovalNeed | None:
    """Ask again as if more people had approved; return the least consent that changes the answer.

    It is asked at most five times more, and at most twice where no consent changes it: what so many people
    cannot change, fewer cannot. Who is named can be one whom a rule does not want, so that it is asked as if
    people of no name had approved, too.
    """
    asked = ConsentAsked.together(layer.consent for _, layer in case.layers)
    if not asked.reads:
        return None
    least = max(1, case.asked.consent.approvals)
    most = max(MAX_APPROVALS if asked.counted else 1, least)
    for by_name in (True, False) if asked.names else (False,):
        if (found := _least(case, least, most, by_name=by_name)) is None:
            continue
        approvals, answer = found
        nameless = case.suppose(approvals, by_name=False) if by_name else answer
        return ApprovalNeed(approvals, _needing(denied, nameless if nameless.allowed else answer))
    return None


def _least(case: _Case, least: int, most: int, *, by_name: bool) -> tuple[int, _Answer] | None:
    """Return with how many approvals it is allowed, and the answer then; None: with none of these."""
    answer = case.suppose(most, by_name=by_name)
    if not answer.allowed:
        return None
    tried = least
    while least < most:
        if (fewer := case.suppose(tried, by_name=by_name)).allowed:
            most, answer = tried, fewer
        else:
            least = tried + 1
        tried = (least + most) // 2
    return most, answer


def _needing(denied: _Answer, allowed: _Answer) -> tuple[str, ...]:
    """Return what needs the consent: the rules that forbid without it, or else permit only with it."""
    pairs = zip(denied.layers, allowed.layers, strict=True)
    needing = {
        rule for old, new in pairs if not old.allowed for rule in old.determined_by or new.determined_by
    }
    return tuple(sorted(needing))


def _supposed(given: Consent, approvals: int, named: _Layers) -> Consent:
    layers = tuple(layer for _, layer in named)
    return Consent(
        approved=True,
        approvals=approvals,
        approvers=given.approvers.union(*(layer.consent.approvers for layer in layers)),
        groups=given.groups.union(*(layer.consent.groups for layer in layers)),
    )


def _ask(name: LayerName, layer: Layer, asked: Request, entities: cedarpy.Entities) -> LayerDecision:
    result = cedarpy.is_authorized(asked.as_cedar(), layer.parsed, entities, schema())
    errors = tuple(error[:_MAX_ERROR_LENGTH] for error in result.diagnostics.errors)
    if result.decision is cedarpy.Decision.NoDecision:
        told = errors or ("no decision",)
        return LayerDecision(name, layer.digest, allowed=False, errors=told, engine_failed=True)
    reasons = tuple(sorted(result.diagnostics.reasons))
    allowed = result.allowed and not errors and bool(reasons)
    return LayerDecision(name, layer.digest, allowed, () if errors else reasons, errors)


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:_MAX_ERROR_LENGTH]


def _refusal(now: datetime, reason: Reason, message: str, until: datetime | None = None) -> Decision:
    return Decision(allowed=False, reason=reason, message=message, layers=(), at=now, holds_until=until)
