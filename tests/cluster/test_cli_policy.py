"""`agentid why`, `policy simulate` and `policy diff` on a real API server: they say what is decided."""

from pathlib import Path

import pytest

from devcluster.controlplane import ControlPlane
from devcluster.kubectl import Kubectl, Object
from tests.cluster import story
from tests.cluster.callers import Ended, agentid, caller, policy, written
from tests.cluster.objects import AGENT, agent, task

PERMIT = '@id("all")\npermit(principal, action, resource);\n'
SMALL = """@id("small")
@advice("Name one order.")
permit(principal, action, resource) when { resource.sensitivity <= 1 && !resource.resources.isEmpty() };
"""
APPROVED = '@id("asked") permit(principal, action, resource) when { context.approved };'
LABELLED = """@id("labelled")
permit(principal, action, resource)
when { context.environment.namespaceLabels.hasTag("agentid.dev/test") };
"""
FROZEN = '@id("frozen") @advice("Wait until Monday.") forbid(principal, action, resource);'
BROKEN = "permit(principal, action, resource) when { resource.nope };"
ORDER = {"purpose": "Refund order 4711", "actions": ["orders:read"], "resources": ["order/4711"]}


@pytest.fixture
def admin_config(cluster: ControlPlane) -> Path:
    return cluster.kubeconfig


def in_force(here: Kubectl, *policies: Object) -> None:
    """Apply policies and wait until the operator has looked at each."""
    for each in policies:
        applied = here.apply(each)
        here.wait_for(
            each["kind"],
            each["metadata"]["name"],
            lambda seen, applied=applied: (
                seen.get("status", {}).get("observedGeneration", 0) >= applied["metadata"]["generation"]
            ),
        )


def simulated(config: Path, here: Kubectl, file: Path, *options: str) -> Ended:
    return agentid(
        config, "policy", "simulate", "--task", str(file), "-n", here.namespace, "-o", "json", *options
    )


def why(config: Path, here: Kubectl, name: str) -> Ended:
    return agentid(config, "why", name, "-n", here.namespace)


@pytest.mark.parametrize(
    ("cedar", "spec", "outcome", "status"),
    [
        (PERMIT, {}, "allow", "Running"),
        (SMALL, {"intent": ORDER}, "allow", "Running"),
        (SMALL, {}, "deny", "AwaitingPolicy"),
        (APPROVED, {}, "approval", "AwaitingApproval"),
        (LABELLED, {}, "allow", "Running"),
        (PERMIT, {"intent": {**ORDER, "actions": ["orders:delete"]}}, "deny", "CeilingExceeded"),
        (PERMIT, {"agentRef": {"name": "none"}}, "deny", "AwaitingAgent"),
    ],
    ids=["all", "small", "too-large", "approval", "labels", "ceiling", "no-agent"],
)
def test_what_is_simulated_is_what_the_operator_decides(  # noqa: PLR0917 - a row of the table
    team: Kubectl,
    admin_config: Path,
    tmp_path: Path,
    cedar: str,
    spec: dict[str, object],
    outcome: str,
    status: str,
) -> None:
    in_force(team, policy("own", cedar))
    file = written(tmp_path, task("one", **spec))

    before = simulated(admin_config, team, file)
    team.create(task("one", **spec))
    story.stands(team, status, "one")

    assert before.said["outcome"] == outcome, before
    assert before.code == (0 if outcome == "allow" else 1)
    waits = story.conditions(team.get("agenttask", "one"))["Approved"]
    assert before.said["message"] == waits["message"]


def test_drafts_over_what_is_in_force_are_judged_as_if_applied(
    team: Kubectl, admin_config: Path, tmp_path: Path
) -> None:
    in_force(team, policy("own", PERMIT))
    file = written(tmp_path, task("one"))
    draft = written(tmp_path, policy("own", APPROVED), name="draft.yaml")

    assert simulated(admin_config, team, file).said["outcome"] == "allow"
    drafted = simulated(admin_config, team, file, "--policies", f"live+{draft}")
    assert drafted.said["outcome"] == "approval", drafted
    alone = simulated(admin_config, team, file, "--policies", str(draft))
    assert "No ClusterAgentPolicy is installed" in alone.said["message"]


def test_a_text_that_is_refused_does_not_count_and_the_last_accepted_one_does(
    team: Kubectl, admin_config: Path, tmp_path: Path
) -> None:
    in_force(team, policy("own", FROZEN), policy("own", BROKEN))
    said = simulated(admin_config, team, written(tmp_path, task("one"))).said
    assert said["outcome"] == "deny"
    assert 'AgentPolicy/own, rule "frozen" forbids it. Wait until Monday.' in said["message"]

    refused = simulated(
        admin_config,
        team,
        written(tmp_path, task("one")),
        "--policies",
        f"live+{written(tmp_path, policy('own', BROKEN), name='draft.yaml')}",
    )
    assert refused.code == 1
    assert "draft.yaml: AgentPolicy/own: line 1, column 53" in refused.err


def test_what_a_tenant_may_not_see_is_said_and_not_guessed(
    cluster: ControlPlane, team: Kubectl, tmp_path: Path
) -> None:
    tenant = caller(cluster, team, "tenant", tmp_path, "agentid-editor")
    team.create(task("one"))
    story.runs(team, "one")

    refused = simulated(tenant, team, written(tmp_path, task("one")))
    assert refused.code == 1
    assert "you may not list clusteragentpolicies.agentid.dev" in refused.err
    told = why(tenant, team, "one")
    assert told.code == 0, told
    assert "one is allowed, and runs." in told.out
    assert "ClusterAgentPolicy/everything" in told.out
    assert "you may not list clusteragentpolicies.agentid.dev" in " ".join(told.out.split())

    # Drafts of their own they may judge: by the Agent, which they see, and labels, which they do not.
    file = written(tmp_path, policy("all", LABELLED, cluster=True), name="draft.yaml")
    drafted = simulated(tenant, team, written(tmp_path, task("one")), "--policies", str(file))
    assert drafted.said["outcome"] == "deny"
    assert drafted.said["notKnown"] == [f"the labels of namespace {team.namespace}: none are assumed"]


def test_who_may_see_nothing_is_told(cluster: ControlPlane, team: Kubectl, tmp_path: Path) -> None:
    nobody = caller(cluster, team, "nobody", tmp_path)
    team.create(task("one"))
    for ended in (why(nobody, team, "one"), agentid(nobody, "policy", "diff", "live", "live")):
        assert ended.code == 1
        assert "403 Forbidden" in ended.err
        assert ended.out == ""


def test_why_says_what_denies_a_task_on_which_facts_and_what_would_have_to_change(
    team: Kubectl, admin_config: Path
) -> None:
    in_force(team, policy("own", SMALL))
    team.create(task("one", onBehalfOf="carol@example.com"))
    story.stands(team, "AwaitingPolicy", "one")

    ended = why(admin_config, team, "one")

    said = " ".join(ended.out.split())
    assert ended.code == 0, ended
    assert said.startswith("one is not allowed by policy.")
    for part in (
        "on behalf of carol@example.com",
        "orders:read, Internal, for up to 1 h, bound to no pod",
        "No rule of AgentPolicy/own permits it.",
        "resource.resources = []",
        "resource.sensitivity = 1",
        'AgentPolicy/own, rule "small" would permit it, if `!resource.resources.isEmpty()`',
    ):
        assert part in said, ended.out


@pytest.mark.parametrize("state", ["running", "suspended", "ended", "approval"])
def test_why_says_how_a_task_stands_and_what_can_be_done(
    team: Kubectl, admin_config: Path, state: str
) -> None:
    in_force(team, policy("own", APPROVED if state == "approval" else PERMIT))
    team.create(task("one"))
    if state == "approval":
        story.stands(team, "AwaitingApproval", "one")
    else:
        story.runs(team, "one")
    if state in {"suspended", "ended"}:
        verb = state.removesuffix("ed")
        assert agentid(admin_config, verb, "one", "-n", team.namespace, "--reason", "looks wrong").code == 0

    ended = why(admin_config, team, "one")

    said = " ".join(ended.out.split())
    expected = {
        "running": (
            "one is allowed, and runs.",
            "issue at",
            'AgentPolicy/own, rule "all"',
            "agentid suspend one",
        ),
        "suspended": ("one is suspended.", "looks wrong", "asked about resume: allow", "agentid resume one"),
        "ended": ("one has ended: Ended.", "looks wrong", "orders:read"),
        "approval": ("one waits for an approval.", "context.approved = false", 'rule "asked"'),
    }[state]
    for part in expected:
        assert part in said, ended.out


def test_why_says_that_other_policies_are_in_force_than_a_credential_was_issued_by(
    team: Kubectl, admin_config: Path
) -> None:
    in_force(team, policy("own", PERMIT))
    team.create(task("one"))
    story.runs(team, "one")
    told = agentid(admin_config, "why", "one", "-n", team.namespace, "-o", "json").said
    assert told["policiesChangedSince"] is False
    assert told["issuedBy"]["digest"] == told["now"]["digest"]

    in_force(team, policy("own", SMALL.replace("!resource.resources.isEmpty()", "true")))

    told = agentid(admin_config, "why", "one", "-n", team.namespace, "-o", "json").said
    assert told["policiesChangedSince"] is True
    assert told["now"]["outcome"] == "allow"


def test_who_would_lose_and_gain_by_other_policies_is_who_does(
    team: Kubectl, admin_config: Path, tmp_path: Path
) -> None:
    team.create(agent("other"))
    only = '@id("only") permit(principal == Agent::"{}/{}", action, resource);'
    in_force(team, policy("own", only.format(team.namespace, AGENT)))
    team.create([task("has"), task("wants", agentRef={"name": "other"}), task("over")])
    story.runs(team, "has")
    story.runs(team, "over")
    story.stands(team, "AwaitingPolicy", "wants")
    assert agentid(admin_config, "end", "over", "-n", team.namespace, "--reason", "done").code == 0
    new = policy("own", only.format(team.namespace, "other"))
    draft = f"live+{written(tmp_path, new)}"
    compare = ("policy", "diff", "live", draft, "-n", team.namespace)

    same = agentid(admin_config, "policy", "diff", "live", "live", "-n", team.namespace, "--exit-code")
    assert same.code == 0
    assert "2 live tasks: 0 loses, 0 gains, 0 changes, 2 as before" in same.out
    found = agentid(admin_config, *compare, "-o", "json")
    assert found.code == 0
    effects = {each["task"]["name"]: each["effect"] for each in found.said["differences"]}
    assert effects == {"has": "loses", "wants": "gains"}
    assert agentid(admin_config, *compare, "--exit-code").code == 1

    in_force(team, new)

    story.ends(team, "Revoked", "has")
    story.runs(team, "wants")
