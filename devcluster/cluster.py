"""What installing and testing need of a cluster, and a cluster that somebody else runs."""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from devcluster import build
from devcluster.errors import StartError
from devcluster.kubectl import Kubectl
from devcluster.run import Run


class Cluster(Protocol):
    """A Kubernetes, whoever started it."""

    @property
    def run(self) -> Run:
        """The run that what is started for it belongs to."""

    @property
    def kubeconfig(self) -> Path:
        """An administrator's kubeconfig."""

    @property
    def kubectl(self) -> Kubectl:
        """Kubectl as administrator."""

    @property
    def helm(self) -> Path:
        """The Helm program."""


class ExistingCluster:
    """A cluster that is used and left running; a context manager that ends only what was started for it.

    Attributes:
        run: For what is started beside it.
        kubeconfig: The kubeconfig that was given.
        kubectl: kubectl with it; the one on PATH, if there is one.
    """

    def __init__(self, run: Run, kubeconfig: Path) -> None:
        self.run = run
        self.kubeconfig = kubeconfig
        self.kubectl = Kubectl(build.installed_or_built("kubectl"), kubeconfig)

    @property
    def helm(self) -> Path:
        """Helm; the one on PATH, if there is one."""
        return build.installed_or_built("helm")

    @classmethod
    def use(cls, kubeconfig: Path) -> Self:
        """Use the cluster of a kubeconfig.

        Raises:
            StartError: There is no such file.
            KubectlError: Its API server does not answer.
        """
        if not kubeconfig.is_file():
            raise StartError(f"AGENTID_KUBECONFIG names {kubeconfig}, which is not a file")
        run = Run.begin()
        try:
            cluster = cls(run, kubeconfig)
            cluster.kubectl("version", "--request-timeout=20s")
        except BaseException:
            run.end()
            raise
        return cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run.__exit__(kind, error, trace)
