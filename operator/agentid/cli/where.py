"""Which cluster a command is about, and where in it."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import typer

_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Where:
    """Which cluster, and where in it, as with kubectl.

    Attributes:
        kubeconfig: None: the pod's service account, or the default kubeconfig.
        context: None: the current one.
        namespace: None: that of the context.
        everywhere: In all namespaces.
    """

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None
    everywhere: bool = False

    @classmethod
    def of(
        cls, kubeconfig: Path | None, context: str | None, namespace: str | None, *, everywhere: bool = False
    ) -> Self:
        """Return which cluster and namespace is meant.

        Raises:
            BadParameter: one namespace and all of them, or what no namespace can be called.
        """
        if everywhere and namespace is not None:
            raise typer.BadParameter("takes no --namespace beside it", param_hint="--all-namespaces")
        if namespace is not None and _NAMESPACE.fullmatch(namespace) is None:
            raise typer.BadParameter(f"{namespace!r} cannot be the name of one", param_hint="--namespace")
        return cls(kubeconfig, context, namespace, everywhere)
