"""Static secrets on the real API server: who gets a copy, what it follows, and that none outlives a task."""

import json
import secrets as randomness
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta

import pytest
import yaml

from devcluster.controlplane import ControlPlane
from devcluster.errors import KubectlError
from devcluster.install import EVERYTHING, NAMESPACE, SERVICE_ACCOUNT, install_chart
from devcluster.kubectl import Kubectl, Object
from devcluster.operator_process import OperatorProcess
from devcluster.places import CHECKOUT
from devcluster.waiting import wait_until
from tests.cluster import leases, playing, story
from tests.cluster.foreign_answers import foreign_answers
from tests.cluster.in_force import wait_until_in_force, wait_until_stamped
from tests.cluster.intercepting import Interceptor, Trap
from tests.cluster.objects import ANY_POD, POD, TASK, pod, task
from tests.laying_out import clear_workloads, make_agent

EXAMPLES = CHECKOUT / "deploy" / "examples"
SECRET = f"agentid-{TASK}"
SOURCE, KEY = "legacy-crm", "token"
SHORT = {"activeDeadlineSeconds": 600}
SLOWLY = timedelta(seconds=60)
FIRST, SECOND = "hunter2-of-the-crm", "correct-horse-of-the-crm"


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    """A control plane with the chart, which lets the operator read one Secret of its namespace by name."""
    with ControlPlane.start() as control_plane:
        install_chart(control_plane, {"staticSecrets": {"sources": [SOURCE, "gone"]}})
        wait_until_in_force(control_plane.kubectl)
        wait_until_stamped(control_plane.kubectl, "default")
        playing.make_node(control_plane.kubectl)
        yield control_plane


@pytest.fixture(scope="module")
def process(cluster: ControlPlane) -> Iterator[OperatorProcess]:
    """The operator of this module."""
    process = OperatorProcess(cluster, "of-static-secrets")
    yield process
    if process.alive():
        process.terminate()


@pytest.fixture(scope="module")
def interceptor(cluster: ControlPlane, process: OperatorProcess) -> Iterator[Interceptor]:
    """The operator's way to the API server; it reads sources again each second."""
    proxy = Interceptor(cluster, process.kubeconfig)
    proxy.environment |= {"AGENTID_STATIC_SECRET_SECONDS": "1", "AGENTID_WIPE_GRACE_SECONDS": "15"}
    with proxy.running():
        yield proxy
        if process.alive():
            process.terminate()


@pytest.fixture
def mortal(process: OperatorProcess, interceptor: Interceptor) -> OperatorProcess:
    """The operator, at work."""
    if not process.alive():
        leases.begin(process, interceptor.environment)
    return process


@pytest.fixture
def home(cluster: ControlPlane) -> Kubectl:
    """The operator's namespace, as administrator."""
    return cluster.kubectl.in_namespace(NAMESPACE)


@pytest.fixture
def name(home: Kubectl) -> Iterator[str]:
    """The name of a static secret; its AgentSecret goes afterwards."""
    name = f"crm-key-{randomness.token_hex(3)}"
    yield name
    home.delete("agentsecret", name, "--ignore-not-found")


@pytest.fixture
def here(kubectl: Kubectl, home: Kubectl, name: str, mortal: OperatorProcess) -> Iterator[Kubectl]:
    """The test's namespace with an Agent, and a static secret that its tasks may have."""
    assert mortal.alive()
    keep(home, FIRST)
    home.create(agent_secret(name, kubectl.namespace))
    make_agent(kubectl)
    yield kubectl
    clear_workloads(kubectl)


def keep(home: Kubectl, value: str, source: str = SOURCE, key: str = KEY) -> None:
    """Put a value into the source, as the platform team does."""
    home.apply(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": source}, "stringData": {key: value}}
    )


def agent_secret(name: str, namespace: str, **spec: object) -> Object:
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "AgentSecret",
        "metadata": {"name": name},
        "spec": {
            "source": {"secretName": SOURCE, "key": KEY},
            "agents": [{"namespace": namespace, "name": "refund-agent"}],
            "actions": ["orders:*"],
            "maxTTLSeconds": 600,
            **spec,
        },
    }


def asking(name: str, **spec: object) -> Object:
    return task(**{**SHORT, "staticSecrets": [{"name": name}], **spec})


def copy_of(here: Kubectl, name: str) -> str | None:
    """What is under the secret's name in the task's Secret; None where that is not there."""
    found = here.find("secret", SECRET)
    return None if found is None else story.files(found).get(name, b"").decode()


def has(here: Kubectl, name: str, value: str) -> Object:
    """Wait until the task runs with that value beside its credential."""
    wait_until("the copy is there", lambda: copy_of(here, name), lambda seen: seen == value, within=SLOWLY)
    return story.runs(here, within=SLOWLY)


def holds_nothing(here: Kubectl) -> None:
    story.secret_gone_or_empty(here, within=SLOWLY)


def message(of: Object) -> str:
    return str(story.conditions(of)["Finished"]["message"])


def test_task_has_the_value_beside_its_credential_for_as_long_as_it_runs(
    here: Kubectl, name: str, mortal: OperatorProcess
) -> None:
    here.create([asking(name, **ANY_POD), pod()])

    running = has(here, name, FIRST)

    assert [each["name"] for each in running["status"]["staticSecrets"]] == [name]
    assert set(story.files(here.get("secret", SECRET))) >= {name, "tls.key", "tls.crt", "ca.crt"}
    issued = next(each for each in story.told(here, running) if each.reason == "CredentialIssued")
    assert f" with static secret {name} for pod {POD} " in issued.note
    line = next(
        each
        for each in mortal.log_lines()
        if each["event"] == "credential issued" and each["uid"] == running["metadata"]["uid"]
    )
    assert list(line["static_secrets"]) == [name]
    playing.start(here, POD)
    here.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
    emptied = story.secret_emptied(here)
    assert name in emptied["data"], "a kubelet that mounts the one key has to find it"
    assert story.ends(here, "Ended")["status"].get("staticSecrets", []) == []
    playing.remove(here, POD)
    story.secret_gone(here)


def test_copy_goes_with_a_task_that_is_deleted(here: Kubectl, name: str) -> None:
    here.create([asking(name, **ANY_POD), pod()])
    has(here, name, FIRST)
    playing.start(here, POD)

    here.delete("agenttask", TASK)

    assert name in story.secret_emptied(here)["data"]


def test_rotated_value_reaches_the_running_task_with_a_new_credential(
    here: Kubectl, name: str, home: Kubectl
) -> None:
    here.create(asking(name))
    before = story.serials(has(here, name, FIRST))

    keep(home, SECOND)

    running = has(here, name, SECOND)
    assert story.serials(running)[: len(before)] == before, "a mounted file follows later"
    assert len(story.serials(running)) == len(before) + 1
    assert story.conditions(running)["CredentialIssued"]["reason"] == "SecretRotated"
    renewed = story.told(here, running, at_least=2)[-1]
    assert (renewed.reason, renewed.action) == ("CredentialRenewed", "Renew")
    assert f"with a rotated static secret {name}" in renewed.note


def test_rotation_prolongs_no_emergency(here: Kubectl, name: str, home: Kubectl) -> None:
    why = {"justification": "The payment provider is down and orders pile up."}
    here.create(asking(name, breakGlass=why, credential={"renew": False, "ttlSeconds": 300}))
    before = has(here, name, FIRST)

    keep(home, SECOND)

    has(here, name, SECOND)
    after = here.wait_for("agenttask", TASK, lambda seen: story.serials(seen) != story.serials(before))
    after = here.wait_for("agenttask", TASK, lambda seen: len(story.serials(seen)) == 1, SLOWLY, "one counts")
    (first,), (second,) = before["status"]["credentials"], after["status"]["credentials"]
    assert (second["generation"], second["notAfter"]) == (2, first["notAfter"])
    assert after["status"]["deadline"] == before["status"]["deadline"]
    told = story.told(here, after, at_least=2)
    assert [(each.reason, each.kind) for each in told] == [("BreakGlassUsed", "Warning")] * 2


def test_rotation_while_no_operator_ran_is_found_by_the_next(
    here: Kubectl, name: str, home: Kubectl, mortal: OperatorProcess, interceptor: Interceptor
) -> None:
    here.create(asking(name))
    has(here, name, FIRST)
    mortal.terminate()
    keep(home, SECOND)

    leases.begin(mortal, interceptor.environment)

    has(here, name, SECOND)


def test_restart_without_a_rotation_copies_nothing(
    here: Kubectl, name: str, mortal: OperatorProcess, interceptor: Interceptor
) -> None:
    here.create(asking(name))
    before = has(here, name, FIRST)
    story.settled(here, within=SLOWLY)
    mortal.terminate()

    leases.begin(mortal, interceptor.environment)

    assert story.settled(here, within=SLOWLY)["status"] == before["status"]


def test_copy_ends_with_its_agent_secret(here: Kubectl, name: str, home: Kubectl) -> None:
    here.create(asking(name))
    has(here, name, FIRST)

    home.delete("agentsecret", name)

    over = story.ends(here, "Revoked")
    assert f"no AgentSecret {name} is for Agent refund-agent of namespace {here.namespace}" in message(over)
    story.secret_gone(here)


def test_copy_ends_when_its_agent_is_no_longer_listed(here: Kubectl, name: str, home: Kubectl) -> None:
    here.create(asking(name))
    has(here, name, FIRST)

    home.patch("agentsecret", name, {"spec": {"agents": [{"namespace": "sales", "name": "refund-agent"}]}})

    story.ends(here, "Revoked")
    story.secret_gone(here)


@pytest.mark.parametrize("how", ["deleted", "without its key", "emptied"])
def test_copy_goes_with_its_source_and_comes_again_with_it(
    here: Kubectl, name: str, home: Kubectl, how: str
) -> None:
    here.create(asking(name))
    has(here, name, FIRST)

    if how == "deleted":
        home.delete("secret", SOURCE)
    else:
        data = {"token": "" if how == "emptied" else None}
        home.patch("secret", SOURCE, {"data": data})

    waiting = story.stands(here, "AwaitingStaticSecret", within=SLOWLY)
    assert f"static secret {name} can't be copied: its source " in message(waiting)
    assert SOURCE not in json.dumps(waiting["status"])
    holds_nothing(here)
    assert waiting["status"].get("staticSecrets", []) == []

    keep(home, SECOND)
    running = has(here, name, SECOND)
    assert len(story.serials(running)) == 1


def test_policy_that_forbids_the_secret_takes_it_away_at_once(
    here: Kubectl, name: str, cluster: ControlPlane
) -> None:
    here.create(asking(name))
    has(here, name, FIRST)
    forbid = (
        'permit (principal, action, resource);\nforbid (principal, action == Action::"useSecret", resource) '
        f'when {{ context.secret.name == "{name}" }};'
    )
    try:
        cluster.kubectl.apply({**EVERYTHING, "spec": {"cedar": forbid}})

        story.ends(here, "Revoked")
        story.secret_gone(here)
        here.delete("agenttask", TASK)
        here.create(asking(name))
        story.stands(here, "AwaitingPolicy")
        assert here.find("secret", SECRET) is None
    finally:
        cluster.kubectl.apply(EVERYTHING)


def test_task_waits_for_what_is_not_for_its_agent_and_learns_nothing_of_it(
    here: Kubectl, name: str, home: Kubectl
) -> None:
    home.patch("agentsecret", name, {"spec": {"agents": [{"namespace": "sales", "name": "refund-agent"}]}})
    said = {}
    for asked in (name, "no-such-key"):
        here.create(asking(asked))
        waiting = story.stands(here, "AwaitingStaticSecret")
        said[asked] = message(waiting).replace(asked, "X")
        here.delete("agenttask", TASK)

    assert said[name] == said["no-such-key"]
    assert here.find("secret", SECRET) is None


@pytest.mark.parametrize(
    ("secret", "asked", "why"),
    [
        ({"actions": ["crm:write"]}, {}, "is for crm:write, none of which intent.actions asks for"),
        (
            {},
            {"activeDeadlineSeconds": 601},
            "may be held for 600 s at most, and this task may run for 601 s",
        ),
    ],
    ids=["another action", "too long"],
)
def test_task_that_asks_for_more_than_the_secret_allows_waits(  # noqa: PLR0917 - fixtures and parameters
    here: Kubectl, name: str, home: Kubectl, secret: dict[str, object], asked: dict[str, object], why: str
) -> None:
    home.patch("agentsecret", name, {"spec": secret})
    here.create(asking(name, **asked))

    waiting = story.stands(here, "CeilingExceeded")

    assert why in message(waiting)
    assert here.find("secret", SECRET) is None


def test_source_that_the_chart_does_not_list_is_not_read(here: Kubectl, name: str, home: Kubectl) -> None:
    keep(home, "not-for-agents", source="unlisted")
    home.patch("agentsecret", name, {"spec": {"source": {"secretName": "unlisted", "key": KEY}}})
    here.create(asking(name))

    waiting = story.stands(here, "IssuanceBlocked")

    assert f"static secret {name} can't be copied just now: its source can't be read" in message(waiting)
    assert here.find("secret", SECRET) is None


def test_value_that_is_too_long_is_not_copied(here: Kubectl, name: str, home: Kubectl) -> None:
    keep(home, "x" * 65_537, source="gone")
    home.patch("agentsecret", name, {"spec": {"source": {"secretName": "gone", "key": KEY}}})
    here.create(asking(name))

    waiting = story.stands(here, "AwaitingStaticSecret")

    assert "its source holds more than 65536 bytes under its key" in message(waiting)


def test_tenant_reads_neither_the_source_nor_the_agent_secret(here: Kubectl, name: str) -> None:
    here("create", "rolebinding", "tenant", "--clusterrole=admin", "--user=alice@example.com")
    alice = here.as_user("alice@example.com")
    wait_until("alice is admin here", lambda: alice.can_i("create", "agenttasks"))

    for kind in (f"secret/{SOURCE}", f"agentsecret/{name}"):
        with pytest.raises(KubectlError):
            alice.in_namespace(NAMESPACE)("get", kind)
    assert not alice.can_i("get", "agentsecrets")
    assert not alice.can_i("create", "agentsecrets")


def test_operator_reads_the_listed_secrets_by_name_and_no_other(
    cluster: ControlPlane, here: Kubectl, name: str
) -> None:
    here.create(asking(name))
    has(here, name, FIRST)

    operator = cluster.kubectl.as_service_account(NAMESPACE, SERVICE_ACCOUNT).in_namespace(NAMESPACE)
    assert operator.can_i("get", f"secrets/{SOURCE}")
    for verb, what in (
        ("get", "secrets"),
        ("get", "secrets/unlisted"),
        ("list", "secrets"),
        ("watch", "secrets"),
        ("create", "agentsecrets"),
        ("update", "agentsecrets"),
    ):
        assert not operator.can_i(verb, what), (verb, what)
    changed = operator.get("secret", SOURCE) | {"data": {KEY: ""}}
    with pytest.raises(KubectlError, match="the operator writes Secrets that start with agentid-"):
        operator("replace", "--filename=-", stdin=json.dumps(changed))
    listed = {f"/api/v1/namespaces/{NAMESPACE}/secrets/{each}" for each in (SOURCE, "gone", "unlisted")}
    assert {path for _, path in foreign_answers(cluster)} <= listed


def test_example_of_a_static_secret_and_a_task_that_has_it(here: Kubectl, name: str, home: Kubectl) -> None:
    source, declared = yaml.safe_load_all((EXAMPLES / "09-static-secret.yaml").read_text())
    declared["spec"]["agents"][0]["namespace"] = here.namespace
    declared["metadata"]["name"] = name
    home.apply([source, declared])
    asked, its_pod = yaml.safe_load_all((EXAMPLES / "10-task-with-static-secret.yaml").read_text())
    asked["spec"]["staticSecrets"][0]["name"] = name
    here.apply(EXAMPLES / "01-agent.yaml")

    here.apply([asked, its_pod])
    playing.bind(here, "refund-4717")

    story.runs(here, "refund-4717")
    held = story.files(here.get("secret", "agentid-refund-4717"))
    assert held[name] == b"change-me"


CREATE = ("POST", r".*/secrets")
REPLACE = ("PUT", rf".*/secrets/{SECRET}")
STATUS = ("PATCH", rf".*/agenttasks/{TASK}/status")
READ = ("GET", rf".*/namespaces/{NAMESPACE}/secrets/{SOURCE}")


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("request_", [READ, STATUS, CREATE], ids=["read", "status", "secret"])
def test_operator_killed_at_any_request_of_an_issue_is_followed_by_one_copy(  # noqa: PLR0917 - as above
    here: Kubectl,
    name: str,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    request_: tuple[str, str],
    answered: bool,  # noqa: FBT001 - parametrized
) -> None:
    trap = Trap(*request_, answered=answered, spring=mortal.kill)
    interceptor.set(trap)
    here.create(asking(name))
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    has(here, name, FIRST)


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("request_", [STATUS, REPLACE], ids=["status", "secret"])
def test_operator_killed_at_any_write_of_a_rotation_is_followed_by_the_new_value(  # noqa: PLR0917 - as above
    here: Kubectl,
    name: str,
    home: Kubectl,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    request_: tuple[str, str],
    answered: bool,  # noqa: FBT001 - parametrized
) -> None:
    here.create(asking(name))
    has(here, name, FIRST)
    trap = Trap(*request_, answered=answered, spring=mortal.kill)
    interceptor.set(trap)
    keep(home, SECOND)
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    has(here, name, SECOND)


@pytest.mark.parametrize("answered", [False, True], ids=["before", "after"])
def test_operator_killed_at_the_wipe_leaves_no_copy(
    here: Kubectl,
    name: str,
    mortal: OperatorProcess,
    interceptor: Interceptor,
    answered: bool,  # noqa: FBT001 - parametrized
) -> None:
    here.create([asking(name, **ANY_POD), pod()])
    has(here, name, FIRST)
    playing.start(here, POD)
    trap = Trap(*REPLACE, answered=answered, spring=mortal.kill)
    interceptor.set(trap)
    here.delete("agenttask", TASK)
    trap.wait()

    leases.begin(mortal, interceptor.environment)

    emptied = story.secret_emptied(here, within=SLOWLY)
    assert emptied["data"].get(name) == "", "nobody remembers the task; its Agents' names say which keys"


def test_no_value_is_in_a_log_an_event_a_status_or_a_metric(
    cluster: ControlPlane, here: Kubectl, name: str, home: Kubectl, mortal: OperatorProcess
) -> None:
    here.create(asking(name))
    has(here, name, FIRST)
    keep(home, SECOND)
    has(here, name, SECOND)
    here.patch("agenttask", TASK, {"spec": {"state": "Ended"}})
    story.secret_gone(here)

    told = "".join(
        (
            json.dumps(mortal.log_lines()),
            mortal.metrics(),
            json.dumps(cluster.kubectl("get", "events.events.k8s.io,agenttasks", "-A", "--output=json")),
        )
    )
    for value in (FIRST, SECOND):
        assert value not in told
        assert b64encode(value.encode()).decode() not in told
