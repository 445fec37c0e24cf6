"""A real OPA on loopback, built from its pinned module, with a policy and data that a test sets."""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from devcluster import build
from devcluster.certificates import Authority
from devcluster.components import LOOPBACK
from devcluster.ports import free_ports
from devcluster.process import Process

ADMIN: Final = "admin-token"
TOKENS: Final = """package system.authz

default allow := false

allow if input.identity in data.tokens
"""
"""Who may ask: whoever shows a token in `data.tokens`, which is asked for each request."""


class OpaServer:
    """One OPA.

    Attributes:
        url: Where it is asked.
        process: It.
    """

    def __init__(self, folder: Path, policy: str, *flags: str, address: str = LOOPBACK) -> None:
        """One that is not running yet, with a policy and what else `opa run` is told."""
        (self.port,) = free_ports(1)
        self._secured = "--authentication=token" in flags
        self._tls = any(flag.startswith("--tls-cert-file") for flag in flags)
        self.url = f"{'https' if self._tls else 'http'}://{address}:{self.port}"
        (folder / "policy.rego").write_text(policy)
        files = [folder / "policy.rego"]
        if self._secured:
            (folder / "authz.rego").write_text(TOKENS)
            (folder / "tokens.json").write_text(json.dumps({"tokens": [ADMIN]}))
            files += [folder / "authz.rego", folder / "tokens.json"]
        program = build.ensure(["opa"])["opa"]
        listen = [f"--addr={address}:{self.port}", "--log-level=error", "--disable-telemetry"]
        command = [str(program), "run", "--server", *listen, *flags, *map(str, files)]
        self.process = Process("opa", command, os.environ, folder / "opa.log")

    def start(self) -> None:
        """Start it (again), and wait until it answers."""
        self.process.start()
        self.process.wait_ready(self._answers)

    def set_data(self, path: str, value: object) -> None:
        """Set `data.<path>`; without TLS only."""
        headers = {"Content-Type": "application/json"}
        if self._secured:
            headers["Authorization"] = f"Bearer {ADMIN}"
        body = json.dumps(value).encode()
        request = urllib.request.Request(f"{self.url}/v1/data/{path}", body, headers, method="PUT")  # noqa: S310 - its own URL
        with urllib.request.urlopen(request, timeout=5):  # noqa: S310 - its own URL
            pass

    def _answers(self) -> bool:
        if self._tls:
            # Whether it is up is all that is asked here, and no certificate is at hand.
            return f":{self.port:04X} " in Path("/proc/net/tcp").read_text() and self.process.alive()
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1):  # noqa: S310 - its own URL
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False


def tls_flags(authority: Authority, address: str = LOOPBACK) -> tuple[str, ...]:
    """What `opa run` is told to show a certificate of this authority."""
    shown = authority.server("opa", [address, "opa.example.com"])
    return f"--tls-cert-file={shown.certificate}", f"--tls-private-key-file={shown.key}"


@contextmanager
def opa(
    folder: Path, policy: str, *flags: str, data: Mapping[str, object] | None = None
) -> Iterator[OpaServer]:
    """Run an OPA within the block."""
    folder.mkdir(parents=True, exist_ok=True)
    server = OpaServer(folder, policy, *flags)
    server.start()
    try:
        for path, value in (data or {}).items():
            server.set_data(path, value)
        yield server
    finally:
        server.process.kill()
