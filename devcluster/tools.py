"""The pinned programs: what each is built from, and with which flags.

Versions are those of `tools/*/go.mod`; nothing here repeats them.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from devcluster.errors import ToolBuildError
from devcluster.places import TOOLS

CONTAINERD = "github.com/containerd/containerd/v2"
PLUGINS = "github.com/containernetworking/plugins/plugins"
KUBERNETES = "k8s.io/kubernetes"


@dataclass(frozen=True, slots=True)
class Tool:
    """One program.

    Attributes:
        name: The file it becomes.
        group: What it is built with, at once and into one folder: the programs that are used together.
        pinned_in: The folder below `tools/` whose go.mod pins it.
        package: The Go package of its `main`.
        stamps: Linker variables that carry the version; `{version}`, `{major}` and `{minor}` are filled in.
        versioned_by: The module whose version that is.
        tags: Build tags.
        cgo: Whether it needs a C compiler.
        debian: Debian packages it needs to be built.
    """

    name: str
    group: str
    pinned_in: str
    package: str
    stamps: tuple[str, ...] = ()
    versioned_by: str = ""
    tags: tuple[str, ...] = ()
    cgo: bool = False
    debian: tuple[str, ...] = ()

    @property
    def module(self) -> Path:
        """The folder of the go.mod that pins it."""
        return TOOLS / self.pinned_in

    @property
    def linker_flags(self) -> str:
        """No debug information, and the version that Helm, kubectl and clients look at."""
        stamps = " ".join(f"-X {stamp}" for stamp in self.stamps)
        if self.versioned_by:
            version = module_version(self.module, self.versioned_by)
            major, minor, _ = version.removeprefix("v").split(".", 2)
            stamps = stamps.format(version=version, major=major, minor=minor)
        return f"-s -w {stamps}".strip()

    @property
    def flags(self) -> list[str]:
        """All flags of its `go build`."""
        tags = ["-tags", ",".join(self.tags)] if self.tags else []
        return ["-trimpath", *tags, "-ldflags", self.linker_flags]


def _kubernetes(name: str, group: str = "controlplane") -> Tool:
    """A program of Kubernetes: unstamped, it would call itself v0.0.0-master and Helm would refuse it."""
    base = "k8s.io/component-base/version"
    return Tool(
        name=name,
        group=group,
        pinned_in="controlplane",
        package=f"{KUBERNETES}/cmd/{name}",
        stamps=(f"{base}.gitVersion={{version}}", f"{base}.gitMajor={{major}}", f"{base}.gitMinor={{minor}}"),
        versioned_by=KUBERNETES,
    )


def _containerd(name: str) -> Tool:
    """A program of containerd, without the snapshotters that need C headers."""
    return Tool(
        name=name,
        group="node",
        pinned_in="node",
        package=f"{CONTAINERD}/cmd/{name}",
        stamps=(f"{CONTAINERD}/version.Version={{version}}",),
        versioned_by=CONTAINERD,
        tags=("no_btrfs", "no_devmapper", "no_zfs"),
    )


ALL = {
    tool.name: tool
    for tool in (
        _kubernetes("kube-apiserver"),
        Tool("etcd", "controlplane", "controlplane", "go.etcd.io/etcd/server/v3"),
        _kubernetes("kube-controller-manager"),
        _kubernetes("kube-scheduler"),
        _kubernetes("kubectl"),
        _kubernetes("kubelet", "node"),
        _kubernetes("kube-proxy", "node"),
        _containerd("containerd"),
        _containerd("containerd-shim-runc-v2"),
        _containerd("ctr"),
        Tool("ptp", "node", "node", f"{PLUGINS}/main/ptp"),
        Tool("loopback", "node", "node", f"{PLUGINS}/main/loopback"),
        Tool("host-local", "node", "node", f"{PLUGINS}/ipam/host-local"),
        Tool("portmap", "node", "node", f"{PLUGINS}/meta/portmap"),
        Tool(
            "runc",
            "node",
            "node",
            "github.com/opencontainers/runc",
            tags=("seccomp",),
            cgo=True,
            debian=("gcc", "libc6-dev", "libseccomp-dev", "pkg-config"),
        ),
        Tool(
            "helm",
            "helm",
            "helm",
            "helm.sh/helm/v4/cmd/helm",
            stamps=("helm.sh/helm/v4/internal/version.version={version}",),
            versioned_by="helm.sh/helm/v4",
        ),
        Tool("kubeconform", "chartlint", "chartlint", "github.com/yannh/kubeconform/cmd/kubeconform"),
        Tool("kube-score", "chartlint", "chartlint", "github.com/zegl/kube-score/cmd/kube-score"),
        Tool("kind", "kind", "kind", "sigs.k8s.io/kind"),
        Tool("opa", "opa", "opa", "github.com/open-policy-agent/opa", tags=("opa_no_oci",)),
    )
}
GROUPS = {
    group: [tool for tool in ALL.values() if tool.group == group]
    for group in ("controlplane", "node", "helm", "chartlint", "kind", "opa")
}


def module_version(folder: Path, module: str) -> str:
    """The version of a module that the go.mod in a folder pins, such as "v1.37.1"."""
    text = (folder / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s*{re.escape(module)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise ToolBuildError(f"{folder / 'go.mod'} does not require {module}")
    return found.group(1)


def kubernetes_version() -> str:
    """The version of Kubernetes that is built, such as "v1.37.1"."""
    return module_version(TOOLS / "controlplane", KUBERNETES)
