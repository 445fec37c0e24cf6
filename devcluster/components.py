"""The control plane's programs and their command lines, with the certificates that these name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster import kubeconfig
from devcluster.certificates import Authority, KeyPair, signing_key
from devcluster.ports import free_ports

PROGRAMS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl")
LOOPBACK = "127.0.0.1"
SERVICE_RANGE = "10.96.0.0/16"
SERVICE_ADDRESS = "10.96.0.1"
ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Options:
    """How a control plane differs from the usual one.

    Attributes:
        apiserver: More flags for kube-apiserver, such as one that leaves an API out.
        controller_manager: More flags for kube-controller-manager.
        address: Where the API server listens; with a node, an address that pods reach too.
    """

    apiserver: Sequence[str] = ()
    controller_manager: Sequence[str] = ()
    address: str = LOOPBACK


WITHOUT_MUTATING_POLICIES = Options(
    apiserver=(
        "--runtime-config="
        + ",".join(
            f"admissionregistration.k8s.io/v1/{resource}=false"
            for resource in ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings")
        ),
        "--disable-admission-plugins=MutatingAdmissionPolicy",
    )
)


class Components:
    """The programs of one control plane, in one folder, on ports of their own.

    Attributes:
        server: The API server's URL.
        port: Its port.
        etcd_server: The address of etcd.
        authority: Signs certificates of servers and clients.
        etcd_authority: Signs those of etcd and its one client, so that no other certificate opens it.
        etcd_client: That client's certificate.
        admin: The administrator's certificate.
        audit_log: Where the API server writes its audit log.
        audit_policy: Where it reads what to write there.
    """

    def __init__(self, programs: Mapping[str, Path], folder: Path, options: Options) -> None:
        self._programs = programs
        self._folder = folder
        self._options = options
        self.port, self._etcd_port, self._peer_port, self._manager_port, self._scheduler_port = free_ports(5)
        self.server = f"https://{options.address}:{self.port}"
        self.etcd_server = f"https://{LOOPBACK}:{self._etcd_port}"
        certificates = folder / "certificates"
        self.authority = Authority.make(certificates, "cluster-ca")
        self.etcd_authority = Authority.make(certificates, "etcd-ca")
        self._tokens = signing_key(certificates, "service-accounts")
        self.etcd_client = self.etcd_authority.client("kube-apiserver")
        self.admin = self.authority.client("agentid-admin", ["system:masters"])
        self.audit_log = folder / "audit.log"
        self.audit_policy = folder / "audit-policy.yaml"

    def kubeconfig(self, name: str, pair: KeyPair, server: str | None = None) -> Path:
        """Write a kubeconfig for who has this certificate."""
        return kubeconfig.write(
            self._folder / f"{name}.kubeconfig",
            server or self.server,
            self.authority.files.certificate,
            kubeconfig.by_certificate(pair),
        )

    def etcd(self) -> list[str]:
        """etcd, which answers only the API server's certificate."""
        server = self.etcd_authority.server("etcd", [LOOPBACK])
        client, peer = self.etcd_server, f"https://{LOOPBACK}:{self._peer_port}"
        return [
            str(self._programs["etcd"]),
            f"--data-dir={self._folder / 'etcd'}",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            f"--cert-file={server.certificate}",
            f"--key-file={server.key}",
            f"--trusted-ca-file={self.etcd_authority.files.certificate}",
            "--client-cert-auth",
            "--peer-auto-tls",
            "--unsafe-no-fsync",  # thrown away afterwards: only a crash of the machine could tell
            "--log-level=warn",
        ]

    def apiserver(self) -> list[str]:
        """kube-apiserver: Node and RBAC, audit log, tokens of its own issuer."""
        address = self._options.address
        names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost"]
        server = self.authority.server("apiserver", [*names, LOOPBACK, SERVICE_ADDRESS, address])
        kubelet = self.authority.client("kube-apiserver-kubelet-client", ["system:masters"])
        return [
            str(self._programs["kube-apiserver"]),
            f"--etcd-servers={self.etcd_server}",
            f"--etcd-cafile={self.etcd_authority.files.certificate}",
            f"--etcd-certfile={self.etcd_client.certificate}",
            f"--etcd-keyfile={self.etcd_client.key}",
            f"--bind-address={address}",
            f"--advertise-address={address}",
            # Loopback is no endpoint for a Service, and without a node nobody asks for one.
            f"--endpoint-reconciler-type={'none' if address == LOOPBACK else 'lease'}",
            f"--secure-port={self.port}",
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
            f"--audit-policy-file={self.audit_policy}",
            f"--audit-log-path={self.audit_log}",
            "--audit-log-maxsize=4096",  # never rotated: tests read it from end to end
            "--profiling=false",
            *self._options.apiserver,
        ]

    def controller_manager(self) -> list[str]:
        """kube-controller-manager: garbage collector, namespaces, Jobs, tokens, signing."""
        identity = self.authority.client("system:kube-controller-manager")
        return [
            str(self._programs["kube-controller-manager"]),
            f"--kubeconfig={self.kubeconfig('kube-controller-manager', identity)}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={self._manager_port}",
            "--leader-elect=false",
            "--kube-api-qps=200",  # at the usual 20, it takes five seconds to make its service accounts
            "--kube-api-burst=400",
            "--use-service-account-credentials",
            f"--service-account-private-key-file={self._tokens.key}",
            f"--root-ca-file={self.authority.files.certificate}",
            f"--cluster-signing-cert-file={self.authority.files.certificate}",
            f"--cluster-signing-key-file={self.authority.files.key}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            *self._options.controller_manager,
        ]

    def scheduler(self) -> list[str]:
        """kube-scheduler."""
        identity = self.authority.client("system:kube-scheduler")
        return [
            str(self._programs["kube-scheduler"]),
            f"--kubeconfig={self.kubeconfig('kube-scheduler', identity)}",
            f"--bind-address={LOOPBACK}",
            f"--secure-port={self._scheduler_port}",
            "--leader-elect=false",
        ]
