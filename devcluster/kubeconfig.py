"""Writes kubeconfig files, readable by their owner only."""

import base64
from collections.abc import Mapping
from pathlib import Path

import yaml

from devcluster.certificates import KeyPair


def write(path: Path, server: str, authority: Path, user: Mapping[str, object]) -> Path:
    """Write a kubeconfig with one cluster, one user and one context.

    Args:
        path: Where to.
        server: The API server's address, `https://host:port`.
        authority: The PEM file that the API server's certificate is checked against.
        user: How the user proves who it is, from `by_certificate` or `{"tokenFile": …}`.

    Returns:
        The path.
    """
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "agentid",
        "clusters": [
            {"name": "agentid", "cluster": {"server": server, "certificate-authority-data": _data(authority)}}
        ],
        "users": [{"name": "agentid", "user": dict(user)}],
        "contexts": [{"name": "agentid", "context": {"cluster": "agentid", "user": "agentid"}}],
    }
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def by_certificate(pair: KeyPair) -> dict[str, object]:
    """A user that shows a client certificate."""
    return {"client-certificate-data": _data(pair.certificate), "client-key-data": _data(pair.key)}


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
