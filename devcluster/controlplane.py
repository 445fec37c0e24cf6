"""A real control plane on this machine: etcd, kube-apiserver, controller-manager, scheduler.

    with ControlPlane.start() as cluster:
        cluster.kubectl("get", "namespaces")

Everything listens on loopback, on free ports, with certificates of this run only, and is gone afterwards.
"""

import json
import ssl
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from devcluster import build, kubeconfig
from devcluster.audit import POLICY, AuditLog
from devcluster.certificates import Authority, KeyPair, signing_key
from devcluster.kubectl import Kubectl
from devcluster.ports import free_ports
from devcluster.run import Run, disk_free_or_raise
from devcluster.waiting import wait_until

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"
NEEDED_GIGABYTES = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """How a control plane differs from the usual one.

    Attributes:
        apiserver: More flags for kube-apiserver, such as one that leaves an API out.
        controller_manager: More flags for kube-controller-manager.
        advertise: The address under which pods reach the API server; loopback when there are none.
    """

    apiserver: Sequence[str] = ()
    controller_manager: Sequence[str] = ()
    advertise: str = "127.0.0.1"


WITHOUT_MUTATING_POLICIES = Options(
    apiserver=("--runtime-config=admissionregistration.k8s.io/v1/mutatingadmissionpolicies=false",)
)


class ControlPlane:
    """A running control plane; a context manager that ends it.

    Attributes:
        run: The run it belongs to: its folder, and further programs.
        server: The API server's address, `https://127.0.0.1:port`.
        authority: Signs the run's certificates.
        kubeconfig: The administrator's kubeconfig.
        kubectl: kubectl as administrator.
        apiserver: The kube-apiserver program, to be killed and started again by tests of faults.
        etcd: The etcd program, likewise.
    """

    def __init__(self, run: Run, options: Options) -> None:
        self.run = run
        self._options = options
        self._programs = build.ensure(PROGRAMS)
        self._client_port, self._peer_port, self._port, self._manager_port, self._scheduler_port = free_ports(
            5
        )
        self.server = f"https://127.0.0.1:{self._port}"
        self._certificates = run.folder / "certificates"
        self.authority = Authority.make(self._certificates, "cluster-ca")
        self._etcd_authority = Authority.make(self._certificates, "etcd-ca")
        self._tokens = signing_key(self._certificates, "service-accounts")
        self._admin = self.authority.client("agentid-admin", ["system:masters"])
        self.kubeconfig = self.write_kubeconfig("admin", self._admin)
        self.kubectl = Kubectl(self._programs["kubectl"], self.kubeconfig)
        self._audit = AuditLog(run.folder / "audit.log")
        self.etcd = run.process("etcd", self._etcd_command())
        self.apiserver = run.process("kube-apiserver", self._apiserver_command())

    @classmethod
    def start(cls, options: Options | None = None) -> Self:
        """Start one and wait until it is ready, in about three seconds once the programs are built.

        Raises:
            StartError: A program ended or was not ready in time; all that was started has been ended.
            ToolBuildError: A program could not be built.
        """
        build.ensure(PROGRAMS)
        disk_free_or_raise(NEEDED_GIGABYTES)
        run = Run.begin()
        try:
            cluster = cls(run, options or Options())
            cluster._start()
        except BaseException:
            run.end()
            raise
        return cluster

    def end(self) -> None:
        """End everything and remove what is left of it."""
        self.run.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run.__exit__(kind, error, trace)

    def write_kubeconfig(self, name: str, pair: KeyPair, server: str | None = None) -> Path:
        """Write a kubeconfig for who has this certificate, into the run's folder."""
        return kubeconfig.write(
            self.run.folder / f"{name}.kubeconfig",
            server or self.server,
            self.authority.files.certificate,
            kubeconfig.by_certificate(pair),
        )

    def ready(self) -> bool:
        """Does the API server say that it is ready?"""
        return self._answer("/readyz") == "ok"

    def restart_apiserver(self) -> None:
        """Kill the API server, start it again on the same port and wait until it is ready."""
        self.apiserver.kill()
        self.apiserver.start()
        self.apiserver.wait_ready(self.ready)

    def restart_etcd(self) -> None:
        """Kill etcd, start it again with the same data and wait until the API server is ready with it."""
        self.etcd.kill()
        self.etcd.start()
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

    def _settle_audit(self) -> None:
        """Make a request of our own and wait until it is in the log: then what came before is too."""
        begin = self._audit.position()
        mark = f"/version?audit-mark={uuid.uuid4().hex}"
        self._answer(mark)
        wait_until(
            "the audit log holds the request just made",
            lambda: any(event["requestURI"] == mark for event in self._audit.events(begin)),
            every=timedelta(milliseconds=20),
        )

    def _answer(self, path: str) -> str:
        """What the API server answers the administrator, or "" where it does not."""
        context = ssl.create_default_context(cafile=str(self.authority.files.certificate))
        context.load_cert_chain(self._admin.certificate, self._admin.key)
        try:
            with urllib.request.urlopen(self.server + path, context=context, timeout=5) as answer:  # noqa: S310 - https, our own server
                return str(answer.read().decode())
        except (OSError, urllib.error.URLError):
            return ""

    def _start(self) -> None:
        (self.run.folder / "audit-policy.yaml").write_text(json.dumps(POLICY))
        self.etcd.start()
        self.apiserver.start()
        self.apiserver.wait_ready(lambda: self.etcd.alive() and self.ready())
        manager = self.run.start("kube-controller-manager", self._manager_command())
        self.run.start("kube-scheduler", self._scheduler_command())
        manager.wait_ready(
            lambda: self.kubectl.in_namespace("default").find("serviceaccount", "default") is not None
        )

    def _etcd_command(self) -> list[str]:
        server = self._etcd_authority.server("etcd", ["127.0.0.1"])
        client, peer = (f"https://127.0.0.1:{port}" for port in (self._client_port, self._peer_port))
        return [
            str(self._programs["etcd"]),
            f"--data-dir={self.run.folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--cert-file={server.certificate}",
            f"--key-file={server.key}",
            f"--trusted-ca-file={self._etcd_authority.files.certificate}",
            "--client-cert-auth",
            "--peer-auto-tls",
            "--unsafe-no-fsync",  # thrown away afterwards: only a crash of the machine could tell
            "--log-level=warn",
        ]

    def _apiserver_command(self) -> list[str]:
        advertise = self._options.advertise
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        server = self.authority.server("apiserver", [*names, "127.0.0.1", SERVICE_ADDRESS, advertise])
        etcd = self._etcd_authority.client("kube-apiserver")
        kubelet = self.authority.client("kube-apiserver-kubelet-client", ["system:masters"])
        alone = advertise == "127.0.0.1"
        return [
            str(self._programs["kube-apiserver"]),
            f"--etcd-servers=https://127.0.0.1:{self._client_port}",
            f"--etcd-cafile={self._etcd_authority.files.certificate}",
            f"--etcd-certfile={etcd.certificate}",
            f"--etcd-keyfile={etcd.key}",
            f"--bind-address={'127.0.0.1' if alone else '0.0.0.0'}",  # noqa: S104 - pods come by another address
            f"--advertise-address={advertise}",
            f"--endpoint-reconciler-type={'none' if alone else 'lease'}",
            f"--secure-port={self._port}",
            f"--tls-cert-file={server.certificate}",
            f"--tls-private-key-file={server.key}",
            f"--client-ca-file={self.authority.files.certificate}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            f"--service-account-issuer={ISSUER}",
            f"--service-account-key-file={self._tokens.certificate}",
            f"--service-account-signing-key-file={self._tokens.key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--kubelet-certificate-authority={self.authority.files.certificate}",
            f"--kubelet-client-certificate={kubelet.certificate}",
            f"--kubelet-client-key={kubelet.key}",
            f"--audit-policy-file={self.run.folder / 'audit-policy.yaml'}",
            f"--audit-log-path={self._audit.path}",
            "--audit-log-maxsize=4096",
            "--profiling=false",
            *self._options.apiserver,
        ]

    def _manager_command(self) -> list[str]:
        identity = self.authority.client("system:kube-controller-manager")
        config = self.write_kubeconfig("kube-controller-manager", identity)
        return [
            str(self._programs["kube-controller-manager"]),
            f"--kubeconfig={config}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._manager_port}",
            "--leader-elect=false",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self._tokens.key}",
            f"--root-ca-file={self.authority.files.certificate}",
            f"--cluster-signing-cert-file={self.authority.files.certificate}",
            f"--cluster-signing-key-file={self.authority.files.key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            *self._options.controller_manager,
        ]

    def _scheduler_command(self) -> list[str]:
        identity = self.authority.client("system:kube-scheduler")
        return [
            str(self._programs["kube-scheduler"]),
            f"--kubeconfig={self.write_kubeconfig('kube-scheduler', identity)}",
            "--bind-address=127.0.0.1",
            f"--secure-port={self._scheduler_port}",
            "--leader-elect=false",
        ]
