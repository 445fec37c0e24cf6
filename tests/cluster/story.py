"""Reads how a task stands: its STATUS, conditions, Events, credentials, and what its Secret holds."""

import json
import secrets
from base64 import b64decode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from devcluster.kubectl import Kubectl, Object
from devcluster.waiting import wait_until
from tests.cluster.objects import ANY_POD, TASK, pod, task

PROMPTLY = timedelta(seconds=60)
"""How long a test waits before it gives up; nothing is said of how fast the operator is."""


def conditions(of: Object) -> dict[str, Object]:
    """The conditions of a task by their type."""
    return {each["type"]: each for each in of.get("status", {}).get("conditions", [])}


def standing(of: Object) -> str:
    """What the column STATUS shows: the reason of `Finished`; "" before the operator has seen the task."""
    return str(conditions(of).get("Finished", {}).get("reason", ""))


def standings(here: Kubectl) -> Counter[str]:
    """How many tasks of a namespace stand how."""
    return Counter(standing(each) for each in here.list("agenttasks"))


def is_finished(of: Object) -> bool:
    """Is the task over?"""
    return bool(conditions(of).get("Finished", {}).get("status") == "True")


def serials(of: Object) -> list[str]:
    """The serials that count, oldest first."""
    return [str(each["serial"]) for each in of.get("status", {}).get("credentials", [])]


def runs(here: Kubectl, name: str = TASK, within: timedelta = PROMPTLY) -> Object:
    """Wait until a task has its credential, in its status and in its Secret, and return the task."""
    running = stands(here, "Running", name, within)
    wait_until(
        f"the Secret of {name} holds what its status says",
        lambda: _task_and_secret(here, name),
        lambda seen: seen[1] is not None and leaf_serial(seen[1]) == (serials(seen[0]) or [""])[-1],
        within=within,
    )
    return running


def _task_and_secret(here: Kubectl, name: str) -> tuple[Object, Object | None]:
    """A task and its Secret, where it has one, in one call of kubectl."""
    both = ("agenttask/" + name, f"secret/agentid-{name}")
    found = json.loads(here("get", *both, "--ignore-not-found", "--output=json"))
    task_found, *secret_found = found["items"] if found["kind"] == "List" else [found]
    return task_found, secret_found[0] if secret_found else None


def stands(here: Kubectl, reason: str, name: str = TASK, within: timedelta = PROMPTLY) -> Object:
    """Wait until the STATUS of a task is `reason`, and return the task."""
    return here.wait_for(
        "agenttask", name, lambda seen: standing(seen) == reason, within, f"AgentTask {name} is {reason}"
    )


def ends(here: Kubectl, reason: str, name: str = TASK, within: timedelta = PROMPTLY) -> Object:
    """Wait until a task is over and see that it is for `reason`, with nothing left that counts."""
    over = here.wait_for("agenttask", name, is_finished, within, f"AgentTask {name} is finished")
    says = conditions(over)
    assert standing(over) == reason, says["Finished"]
    assert says["Succeeded"]["status"] == str(reason == "Completed"), says["Succeeded"]
    given = says["Granted" if "Granted" in says else "CredentialIssued"]
    assert given["status"] == "False", given
    assert "endTime" in over["status"]
    assert serials(over) == []
    return over


def settled(here: Kubectl, name: str = TASK, within: timedelta = PROMPTLY) -> Object:
    """Wait until the operator has seen all that was done before, and return the task.

    It works in the order of its watches: once it has decided about a task and a pod that are made now, it has
    looked at what came before.
    """
    marker = f"after-{secrets.token_hex(4)}"
    here.create([task(marker, credential={"ttlSeconds": 30}, **ANY_POD), pod(marker, of=marker)])
    here.wait_for(
        "agenttask",
        marker,
        lambda seen: standing(seen) not in {"", "AwaitingPod"},
        within,
        "the operator has decided about what is made now",
    )
    here("delete", f"pod/{marker}", f"agenttask/{marker}", "--grace-period=0", "--force", "--wait=false")
    return here.get("agenttask", name)


def secret_gone(here: Kubectl, name: str = TASK, within: timedelta = PROMPTLY) -> None:
    """Wait until the Secret of a task is not there any more."""
    here.wait_gone("secret", f"agentid-{name}", within)


def secret_emptied(here: Kubectl, name: str = TASK, within: timedelta = PROMPTLY) -> Object:
    """Wait until the Secret of a task is there with nothing in it."""
    return here.wait_for(
        "secret", f"agentid-{name}", is_empty, within, f"the Secret of {name} is there and empty"
    )


def secret_gone_or_empty(here: Kubectl, name: str = TASK, within: timedelta = PROMPTLY) -> None:
    """Wait until nothing can be read from the Secret of a task."""
    wait_until(
        f"the Secret of {name} holds nothing",
        lambda: here.find("secret", f"agentid-{name}"),
        lambda seen: seen is None or is_empty(seen),
        within=within,
    )


def is_empty(secret: Object) -> bool:
    """Does a Secret hold nothing but empty values?"""
    return not any((secret.get("data") or {}).values())


def files(secret: Object) -> dict[str, bytes]:
    """The contents of a Secret."""
    return {name: b64decode(value) for name, value in (secret.get("data") or {}).items()}


def leaf_serial(secret: Object) -> str:
    """The serial of the certificate in a Secret, as a status writes it; "" where there is none."""
    return f"{leaf(secret).serial_number:x}" if files(secret).get("tls.crt") else ""


def leaf(secret: Object) -> x509.Certificate:
    """The certificate in a Secret."""
    return x509.load_pem_x509_certificate(files(secret)["tls.crt"])


def public_key(secret: Object) -> bytes:
    """The public key that belongs to the private key in a Secret."""
    key = load_pem_private_key(files(secret)["tls.key"], password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key.public_key().public_numbers().x.to_bytes(32)


@dataclass(frozen=True, slots=True)
class Told:
    """One Event of a task, without its times."""

    reason: str
    action: str
    kind: str
    related: str
    note: str


def told(here: Kubectl, of: Object, at_least: int = 1, within: timedelta = PROMPTLY) -> list[Told]:
    """Wait until so many Events tell of a task, and return all in the order in which they happened."""
    uid = of["metadata"]["uid"]

    def look() -> list[Object]:
        of_task = [
            each for each in here.list("events.events.k8s.io") if each.get("regarding", {}).get("uid") == uid
        ]
        return sorted(of_task, key=lambda each: str(each["eventTime"]))

    found = wait_until(
        f"{at_least} Events tell of the task", look, lambda seen: len(seen) >= at_least, within=within
    )
    return [
        Told(
            each["reason"],
            each["action"],
            each["type"],
            _named(each.get("related", {})),
            each["note"],
        )
        for each in found
    ]


def _named(reference: Mapping[str, str]) -> str:
    return f"{reference['kind']}/{reference['name']}" if reference else ""
