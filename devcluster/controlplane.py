"""A real control plane on this machine: etcd, kube-apiserver, controller-manager, scheduler.

    with ControlPlane.start() as cluster:
        cluster.kubectl("get", "namespaces")

Everything listens on loopback, on free ports, with certificates of this run only, and is gone afterwards.
"""

import json
import os
import ssl
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devcluster import build
from devcluster.audit import POLICY, AuditLog
from devcluster.certificates import Authority, KeyPair
from devcluster.components import LOOPBACK, PROGRAMS, Components, Options
from devcluster.kubectl import Kubectl
from devcluster.machine import Machine
from devcluster.node import Node
from devcluster.run import Run, disk_free_or_raise
from devcluster.waiting import wait_until

NEEDED_GIGABYTES = 2.0


class ControlPlane:
    """A running control plane; a context manager that ends it.

    Attributes:
        run: The run it belongs to: its folder, and further programs.
        components: Its programs' command lines, addresses and certificates.
        kubeconfig: The administrator's kubeconfig.
        kubectl: kubectl as administrator.
        etcd: The etcd program, to be killed and started again by tests of faults.
        apiserver: The kube-apiserver program, likewise.
        manager: The kube-controller-manager program, likewise.
        scheduler: The kube-scheduler program, likewise.
        node: The node, where there is one.
    """

    def __init__(self, run: Run, options: Options, machine: Machine | None = None) -> None:
        programs = build.ensure(PROGRAMS)
        self.run = run
        self.components = Components(programs, run.folder, options)
        self.kubeconfig: Path = self.components.kubeconfig("admin", self.components.admin)
        self.kubectl = Kubectl(programs["kubectl"], self.kubeconfig)
        self._audit = AuditLog(self.components.audit_log)
        self.etcd = run.process("etcd", self.components.etcd())
        self.apiserver = run.process("kube-apiserver", self.components.apiserver())
        self.manager = run.process("kube-controller-manager", self.components.controller_manager())
        self.scheduler = run.process("kube-scheduler", self.components.scheduler())
        self.node = Node(run, machine, self.components) if machine else None

    @classmethod
    def start(cls, options: Options | None = None, *, node: bool = False) -> Self:
        """Start one and wait until it is ready, which takes seconds once the programs are built.

        Args:
            options: How it differs from the usual one.
            node: With a node, so that pods run; needs root.

        Raises:
            PackagesMissingError: A node needs Debian packages, or root, that are not to be had.
            StartError: A program ended or was not ready in time; all that was started has been ended.
            ToolBuildError: A program could not be built.
        """
        build.ensure(PROGRAMS)
        if node:
            Node.prepare()
        disk_free_or_raise(NEEDED_GIGABYTES)
        options = options or Options()
        run = Run.begin()
        try:
            machine = Machine(run) if node else None
            _reach_directly(LOOPBACK)
            if machine:
                _reach_directly(machine.link.host, machine.link.node, machine.link.pods)
                options = replace(options, address=machine.link.host)
            cluster = cls(run, options, machine)
            cluster._start()
        except BaseException:
            run.end()
            raise
        return cluster

    @property
    def helm(self) -> Path:
        """The pinned Helm, built now if it is not there yet."""
        return build.ensure(["helm"])["helm"]

    def end(self) -> None:
        """End everything and remove what is left of it."""
        self.run.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run.__exit__(kind, error, trace)

    def ready(self) -> bool:
        """Does the API server say that it is ready?"""
        return self._answer("/readyz") == "ok"

    def etcd_ready(self) -> bool:
        """Does etcd answer a read that needs its quorum?"""
        here = self.components
        answer = _fetch(f"{here.etcd_server}/health", here.etcd_authority, here.etcd_client)
        return '"health":"true"' in answer

    def restart_apiserver(self) -> None:
        """Kill the API server, start it again on the same port and wait until it is ready."""
        self.apiserver.kill()
        self.apiserver.start()
        self.apiserver.wait_ready(self.ready)

    def restart_etcd(self) -> None:
        """Kill etcd, start it again with the same data and wait until the API server is ready with it."""
        self.etcd.kill()
        self.etcd.start()
        self.etcd.wait_ready(self.etcd_ready)
        self.apiserver.wait_ready(self.ready)

    def audit_position(self) -> int:
        """Where the audit log is now: everything answered until here lies before it."""
        self._settle_audit()
        return self._audit.position()

    def audit(self, since: int = 0, user: str | None = None) -> Iterator[dict[str, Any]]:
        """The audit events of what was answered until now, oldest first.

        Args:
            since: A value of `audit_position`.
            user: Only requests that were decided as this user's.
        """
        self._settle_audit()
        return self._audit.events(since, user)

    def _start(self) -> None:
        """Start the programs in the order in which they need each other."""
        self.components.audit_policy.write_text(json.dumps(POLICY))
        self.etcd.start()
        self.apiserver.start()
        self.etcd.wait_ready(self.etcd_ready)
        self.apiserver.wait_ready(self.ready)
        self.manager.start()
        self.scheduler.start()
        default = self.kubectl.in_namespace("default")
        self.manager.wait_ready(lambda: default.find("serviceaccount", "default") is not None)
        if self.node:
            self.node.start(self.kubectl)

    def _settle_audit(self) -> None:
        """Make a request of our own and wait until it is in the log: then what came before is too."""
        begin = self._audit.position()
        mark = f"/version?audit-mark={uuid.uuid4().hex}"

        def seen() -> bool:
            return any(event["requestURI"] == mark for event in self._audit.events(begin))

        self._answer(mark)
        wait_until("the audit log holds the request just made", seen, every=timedelta(milliseconds=20))

    def _answer(self, path: str) -> str:
        """What the API server answers the administrator, or "" where it does not."""
        here = self.components
        return _fetch(here.server + path, here.authority, here.admin)


def _reach_directly(*addresses: str) -> None:
    """Keep a proxy, where this environment names one, out of the way for us and for what we start."""
    for name in ("NO_PROXY", "no_proxy"):
        known = [each for each in os.environ.get(name, "").split(",") if each]
        os.environ[name] = ",".join(dict.fromkeys([*known, *addresses]))


def _fetch(url: str, authority: Authority, client: KeyPair) -> str:
    """What a server answers to a client with this certificate, or "" where it does not answer well."""
    context = ssl.create_default_context(cafile=str(authority.files.certificate))
    context.load_cert_chain(client.certificate, client.key)
    try:
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:  # noqa: S310 - https, ours
            return str(answer.read().decode())
    except OSError:
        return ""
