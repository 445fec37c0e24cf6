"""The third act: a copied key is refused once its task has ended, and all of it is on record."""

import json
import subprocess
from base64 import b64decode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import yaml

from demo.command_line import agentid, verdict
from demo.moments import Request, milliseconds, when
from demo.narration import Narrator
from demo.stage import MANIFESTS, NAMESPACE, SOON, Stage
from devcluster.controlplane import ControlPlane
from devcluster.install import NAMESPACE as OPERATORS_NAMESPACE
from devcluster.kubectl import Kubectl
from devcluster.waiting import wait_until

_TASK: Final = "lookup-4715"
_API: Final = "guarded-api"


class ThirdAct:
    """Tells it after the others, on the same cluster; each scene checks what it claims."""

    def __init__(self, cluster: ControlPlane, stage: Stage, narrator: Narrator) -> None:
        self._cluster = cluster
        self._stage = stage
        self._tell = narrator
        self._kubectl: Kubectl = cluster.kubectl.in_namespace(NAMESPACE)
        self._folder: Path = cluster.run.folder / "evidence"
        self._address = ""

    def tell(self) -> None:
        """Tell all of it.

        Raises:
            DevclusterError: Something did not come about; the text says what, and what was seen instead.
            AssertionError: Something came about that must not.
        """
        self._folder.mkdir()
        self._tell.act("Act three: what has ended is refused, and on record")
        self._an_api_asks()
        self._a_copied_key_is_let_in()
        self._its_task_ends()
        self._others_have_a_crl()
        self._all_is_on_record()
        self._nobody_edits_it_unseen()

    def _an_api_asks(self) -> None:
        self._tell.scene("An API that asks the decision point about each call, before it lets anybody in.")
        needed = self._stage.decision_point()
        task, pod = yaml.safe_load_all((MANIFESTS / "guarded-api.yaml").read_text())
        self._kubectl.apply(task)
        self._kubectl.apply({**pod, "spec": {**pod["spec"], **needed}})
        self._address = self._stage.orders_api(_API)
        self._tell.quote("POST https://agentid-gate.agentid-system.svc/access/v1/evaluation")
        self._tell.found("it asks by AuthZEN, with a token of its service account and nothing else")

    def _a_copied_key_is_let_in(self) -> None:
        self._tell.scene("A task looks up an order. Its key is copied again, which nobody can see.")
        self._kubectl.apply(MANIFESTS / f"{_TASK}.yaml")
        self._stage.up(_TASK)
        held = self._kubectl.wait_for("secret", f"agentid-{_TASK}", lambda seen: seen["data"].get("tls.crt"))
        for name in ("tls.crt", "ca.crt"):
            (self._folder / name).write_bytes(b64decode(held["data"][name]))
        self._stage.steal(_TASK)
        said = self._call_with_copy()
        if not said.startswith("200"):
            raise AssertionError(f"the copied key was to work while its task goes on, but: {said}")
        self._tell.quote(f"while the task goes on: {said}")

    def _its_task_ends(self) -> None:
        self._tell.scene("The task ends. Its certificate would be good for a while yet.")
        (credential,) = self._kubectl.get("atask", _TASK)["status"]["credentials"]
        since = self._cluster.audit_position()
        self._kubectl.patch("atask", _TASK, {"spec": {"state": "Ended", "stateReason": "looks wrong"}})
        refusal = wait_until(
            "the copied key is refused",
            self._call_with_copy,
            lambda said: said.startswith("403"),
            within=SOON,
        )
        refused = datetime.now(UTC)
        ended = when(self._cluster, Request("patch", "agenttasks", _TASK), since, SOON)
        left = datetime.fromisoformat(credential["notAfter"]) - refused
        if left <= timedelta():
            raise AssertionError(f"it was to be refused before it expires, but: {credential}")
        self._tell.refused(refusal)
        self._tell.found(
            "the copied key is refused",
            f"{milliseconds(ended, refused)} after the end, as fast as the thief could call; "
            f"it would expire in {left / timedelta(minutes=1):.0f} min",
        )

    def _others_have_a_crl(self) -> None:
        self._tell.scene("Whoever can't ask has a CRL. OpenSSL by it:")
        command = (
            "openssl verify -crl_check -CAfile ca.crt -CRLfile crl.der -untrusted tls.crt tls.crt",
            "openssl crl -in crl.der -inform DER -noout -text",
        )
        said = wait_until(
            "OpenSSL refuses it by the CRL",
            lambda: self._openssl(command[0]) if self._published() else "",
            lambda seen: "certificate revoked" in seen,
            within=SOON,
        )
        (serial,) = [each["serial"] for each in self._issued()]
        crl = self._openssl(command[1])
        listed = f"{int(serial, 16):X}"
        (entry,) = [each.strip() for each in crl.splitlines() if listed in each]
        self._tell.quote(command[0])
        (refusal,) = [each for each in said.splitlines() if "certificate revoked" in each]
        self._tell.refused(refusal)
        self._tell.quote(command[1])
        self._tell.listing(entry)

    def _all_is_on_record(self) -> None:
        self._tell.scene("Each of it is a record, which outlives the task.")
        self._tell.quote(f"agentid audit show {_TASK} -n {NAMESPACE}")
        story = agentid(self._cluster.kubeconfig, "audit", "show", _TASK, "-n", NAMESPACE)
        if "issued" not in story or "ended" not in story:
            raise AssertionError(f"the record was to tell of issue and end, but: {story}")
        self._tell.listing(story)

    def _nobody_edits_it_unseen(self) -> None:
        self._tell.scene("The ledger is whole. In a copy of it one byte is changed.")
        ledger, key, edited = (self._folder / name for name in ("ledger.jsonl", "ledger.pem", "edited.jsonl"))
        agentid(self._cluster.kubeconfig, "audit", "export", "--out", str(ledger))
        key.write_text(self._public_key())
        self._tell.quote("agentid audit verify --file ledger.jsonl --key ledger.pem")
        whole, said = verdict("audit", "verify", "--file", str(ledger), "--key", str(key))
        if not whole:
            raise AssertionError(f"the ledger was to be whole, but: {said}")
        self._tell.listing(said)
        before = ledger.read_bytes()
        at = before.index(_TASK.encode())
        edited.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        self._tell.quote("agentid audit verify --file edited.jsonl --key ledger.pem")
        whole, said = verdict("audit", "verify", "--file", str(edited), "--key", str(key))
        if whole or "edited" not in said:
            raise AssertionError(f"the changed byte was to be found, but: {said}")
        self._tell.listing(said)

    def _call_with_copy(self) -> str:
        return self._stage.call_with_copy(_TASK, self._address)

    def _published(self) -> bool:
        """Take the CRL as it is now, if there is one."""
        published = self._cluster.kubectl.in_namespace(OPERATORS_NAMESPACE).find("configmap", "agentid-crl")
        if published is None:
            return False
        (self._folder / "crl.der").write_bytes(b64decode(published["binaryData"]["crl.der"]))
        return True

    def _openssl(self, command: str) -> str:
        done = subprocess.run(command.split(), cwd=self._folder, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def _issued(self) -> list[dict[str, Any]]:
        """What was recorded as issued to the task."""
        asked = ("audit", "query", "-n", NAMESPACE, "--event", "issued", "-o", "json")
        records: list[dict[str, Any]] = json.loads(agentid(self._cluster.kubeconfig, *asked))["records"]
        return [each for each in records if each["task"] == _TASK]

    def _public_key(self) -> str:
        """The ledger's key, as its first record names it."""
        asked = ("audit", "query", "-A", "--event", "ledgerStarted", "-o", "json")
        (first,) = json.loads(agentid(self._cluster.kubeconfig, *asked))["records"]
        return str(first["public_key"])
