"""Ends a run for good, from nothing but its folder, whoever is left of those who started it.

What belongs to a run is found in the kernel, not in a list that a crash could leave short: a process
belongs to it if `DEVCLUSTER_RUN=<id>` is in its environment (children inherit that). A node lives in
namespaces of its own whose first process is such a one: when it dies, the kernel ends each container
and drops each mount, bridge, route and nftables rule of that node.
"""

import os
import shutil
import signal
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from devcluster.waiting import wait_until

MARK = "DEVCLUSTER_RUN"
CGROUPS = Path("/sys/fs/cgroup")


def end(folder: Path) -> None:
    """End each process of the run and remove all that it left; doing it twice does no harm."""
    run_id = folder.name
    wait_until(
        f"the processes of run {run_id} end",
        lambda: _kill_all(run_id),
        lambda left: not left,
        within=timedelta(seconds=30),
        every=timedelta(milliseconds=20),
    )
    _remove_cgroups(folder)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        # A mount namespace that is just going away may have held on to a directory for a moment.
        wait_until(f"{folder} can be removed", lambda: _remove(folder), within=timedelta(seconds=10))


def processes(run_id: str) -> list[int]:
    """The process ids of all that belongs to a run, but for the one that asks."""
    mark = f"{MARK}={run_id}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):  # gone since, or somebody else's
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def _kill_all(run_id: str) -> list[int]:
    """Kill what belongs to the run, and say what that was."""
    found = processes(run_id)
    for pid in found:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return found


def _remove(folder: Path) -> bool:
    """Try to remove a folder; is it gone?"""
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def _remove_cgroups(folder: Path) -> None:
    """Remove the control groups of the run's containers: they outlive their processes.

    Those processes bear no mark; the kernel ends them with their node, but a moment after it. Until then
    their groups are busy.
    """
    containers = [path.name for path in folder.glob("*/containerd/io.containerd.runtime.v2.task/k8s.io/*")]
    if containers:
        wait_until(
            f"the control groups of {len(containers)} containers of run {folder.name} can be removed",
            lambda: _remove_groups_of(containers),
            lambda left: not left,
            within=timedelta(seconds=30),
            every=timedelta(milliseconds=20),
        )


def _remove_groups_of(containers: list[str]) -> list[Path]:
    """Try to remove the groups of these containers, the innermost first, and return those that are left.

    containerd names them after the container, below `k8s.io` (in cgroup v1 in each hierarchy).
    """
    parents = [parent for pattern in ("k8s.io", "*/k8s.io") for parent in CGROUPS.glob(pattern)]
    groups = [parent / container for parent in parents for container in containers]
    for group in groups:
        for path, _, _ in os.walk(group, topdown=False):
            _remove_empty(Path(path))
    for parent in parents:
        _remove_empty(parent)
    return [group for group in groups if group.exists()]


def _remove_empty(folder: Path) -> None:
    """Remove a folder that may be gone, or not be empty."""
    with suppress(OSError):
        folder.rmdir()
