"""A start that cannot succeed says why in one sentence, with a code, and shows no traceback."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
users: [{name: u, user: {token: t}}]
"""


def _start(kubeconfig: Path, changes: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AGENTID_")}
    settings = {
        "AGENTID_TRUST_DOMAIN": "prod.example.com",
        "AGENTID_NAMESPACE": "agentid-system",
        "AGENTID_KUBECONFIG": str(kubeconfig),
        "AGENTID_BIND_ADDRESS": "127.0.0.1",
        "AGENTID_METRICS_PORT": "0",
    }
    return subprocess.run(
        [sys.executable, "-m", "agentid", "operator"],
        env={**environment, **settings, **changes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _told(ended: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    """Its exit code and the sentence that it told: exactly one, and no traceback."""
    assert "Traceback" not in ended.stdout + ended.stderr
    assert ended.stderr.startswith("agentid operator: ")
    assert ended.stderr.count("\n") == 1, ended.stderr
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("content", ["a: [", "- 1\n", "a: b\n", "{", "\x00", "current-context: c\n", "7\n"])
def test_an_unusable_kubeconfig_is_told(tmp_path: Path, content: str) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(content)

    code, said = _told(_start(kubeconfig, {}))

    assert code == 2
    assert "no way to a Kubernetes API server" in said


def test_a_missing_kubeconfig_is_named(tmp_path: Path) -> None:
    code, said = _told(_start(tmp_path / "none", {}))

    assert code == 2
    assert f"there is no kubeconfig {tmp_path / 'none'}" in said


def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    code, said = _told(_start(tmp_path / "none", {"AGENTID_BIND_ADDRESS": "300.1.1.1"}))

    assert code == 2
    assert "AGENTID_BIND_ADDRESS" in said


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(_KUBECONFIG)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = _told(_start(kubeconfig, {"AGENTID_METRICS_PORT": str(port)}))

    assert code == 1
    assert f"cannot serve on 127.0.0.1 port {port}" in said
