"""The second act: one refund takes somebody's approval and gets it, another one is refused and says why."""

from typing import Final

import yaml

from demo.command_line import agentid
from demo.moments import Request, milliseconds, when
from demo.narration import Narrator
from demo.stage import MANIFESTS, NAMESPACE, SOON, Stage
from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object

_APPROVER: Final = "erin@example.com"
_COMMENT: Final = "the customer sent it back"


class SecondAct:
    """Tells it after the first act, on the same cluster; each scene checks what it claims."""

    def __init__(self, cluster: ControlPlane, stage: Stage, narrator: Narrator) -> None:
        self._cluster = cluster
        self._stage = stage
        self._tell = narrator
        self._kubectl: Kubectl = cluster.kubectl.in_namespace(NAMESPACE)

    def tell(self) -> None:
        """Tell all of it.

        Raises:
            DevclusterError: Something did not come about; the text says what, and what was seen instead.
            AssertionError: Something came about that must not.
        """
        self._tell.act("Act two: who says yes")
        self._a_team_sets_a_policy()
        self._a_refund_waits()
        self._somebody_approves_it()
        self._another_is_refused()

    def _a_team_sets_a_policy(self) -> None:
        self._tell.scene("The team adds a policy: a refund names its order, and somebody else approves it.")
        text, *_ = yaml.safe_load_all((MANIFESTS / "refunds.yaml").read_text())
        self._tell.listing("\n".join(filter(None, text["spec"]["cedar"].splitlines())))
        since = self._cluster.audit_position()
        self._kubectl.apply(MANIFESTS / "refunds.yaml")
        applied = when(self._cluster, Request("create", "agentpolicies", "refunds"), since, SOON)
        accepted = when(self._cluster, Request("patch", "agentpolicies/status", "refunds"), since, SOON)
        policy = self._kubectl.wait_for(
            "agentpolicy", "refunds", lambda seen: "Accepted" in _conditions(seen)
        )
        if _conditions(policy)["Accepted"]["status"] != "True":
            raise AssertionError(f"AgentPolicy refunds was to be accepted, but: {_conditions(policy)}")
        self._tell.found(
            "AgentPolicy refunds is in force", f"{milliseconds(applied, accepted)} after it was applied"
        )

    def _a_refund_waits(self) -> None:
        self._tell.scene("A refund. Its pod has a node and no credential: somebody has to say yes first.")
        self._kubectl.apply(MANIFESTS / "refund-4713.yaml")
        self._stage.scheduled("refund-4713")
        self._stands("refund-4713", "AwaitingApproval")
        if self._kubectl.find("secret", "agentid-refund-4713") is not None:
            raise AssertionError("a task that waits for its approval was to have no Secret")
        self._tell.quote(f"kubectl get atask refund-4713 -n {NAMESPACE}")
        self._tell.listing(self._kubectl("get", "atask", "refund-4713"))

    def _somebody_approves_it(self) -> None:
        self._tell.scene(f"{_APPROVER}, who may approve here and nothing else, looks at it and says yes.")
        here = self._cluster.components
        theirs = here.kubeconfig("erin", here.authority.client(_APPROVER))
        self._tell.quote(f'agentid approve refund-4713 -n {NAMESPACE} --comment "{_COMMENT}"')
        since = self._cluster.audit_position()
        self._tell.listing(agentid(theirs, "approve", "refund-4713", "-n", NAMESPACE, "--comment", _COMMENT))
        (approval,) = self._kubectl.list("agentapprovals")
        name = approval["metadata"]["name"]
        approved = when(self._cluster, Request("create", "agentapprovals", name), since, SOON)
        issued = when(self._cluster, Request("create", "secrets", "agentid-refund-4713"), since, SOON)
        identity = self._kubectl.get("atask", "refund-4713")["status"]["spiffeID"]
        self._tell.found(identity, f"issued {milliseconds(approved, issued)} after the approval")
        said = self._stage.job("refund-4713")
        if not said.startswith("200") or identity.rpartition("/")[2] not in said:
            raise AssertionError(f"the orders API was to greet {identity}, but said: {said}")
        self._tell.found(said)

    def _another_is_refused(self) -> None:
        self._tell.scene("A refund that names no order. No approval would help it.")
        self._kubectl.apply(MANIFESTS / "refund-4714.yaml")
        self._stage.scheduled("refund-4714")
        self._stands("refund-4714", "AwaitingPolicy")
        self._tell.quote(f"agentid why refund-4714 -n {NAMESPACE}")
        self._tell.listing(agentid(self._cluster.kubeconfig, "why", "refund-4714", "-n", NAMESPACE))

    def _stands(self, name: str, reason: str) -> None:
        """Wait until the STATUS of a task is `reason`."""
        self._kubectl.wait_for(
            "atask",
            name,
            lambda seen: _conditions(seen).get("Finished", {}).get("reason") == reason,
            SOON,
            f"AgentTask {name} is {reason}",
        )


def _conditions(of: Object) -> dict[str, Object]:
    return {each["type"]: each for each in of.get("status", {}).get("conditions", [])}
