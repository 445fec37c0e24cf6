"""Debian packages that the node needs: installed where this is root, asked for where it is not."""

import os
import shutil
import subprocess

from devcluster.errors import PackagesMissingError
from devcluster.progress import step


def ensure(*packages: str, why: str) -> None:
    """Make sure that these Debian packages are installed.

    Args:
        packages: Their names.
        why: What needs them, for the message: "the node".

    Raises:
        PackagesMissingError: They can't be installed from here; the message says what to do.
    """
    missing = [name for name in packages if not _installed(name)]
    if not missing:
        return
    listed = " ".join(missing)
    if shutil.which("apt-get") is None:
        raise PackagesMissingError(f"{why} needs {listed} (Debian's names), and this machine has no apt-get.")
    if os.geteuid() != 0:
        raise PackagesMissingError(f"{why} needs {listed}. Install with: sudo apt-get install {listed}")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with step(f"installing Debian packages for {why}: {listed}"):
        for command in (
            ["apt-get", "update", "-qq"],
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        ):
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise PackagesMissingError(f"`{' '.join(command)}` failed: {done.stderr.strip()[-2000:]}")


def _installed(package: str) -> bool:
    """Does dpkg list it as installed? Without dpkg nothing is."""
    if shutil.which("dpkg-query") is None:
        return False
    done = subprocess.run(
        ["dpkg-query", "-W", "-f=${db:Status-Status}\\n", package],
        capture_output=True,
        text=True,
        check=False,
    )
    return "installed" in done.stdout.split()  # one line for each architecture
