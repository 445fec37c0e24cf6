"""`make demo` where there is no node: the story is told to its end, and each of its acts holds."""

import os
import subprocess
import sys

from devcluster.places import CHECKOUT


def test_the_played_demo_tells_all_acts_and_says_what_was_played() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=CHECKOUT,
        env=os.environ | {"AGENTID_DEMO_NODE": "0", "AGENTID_KUBECONFIG": "/of/somebody"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    assert "AGENTID_KUBECONFIG is set, but not for this" in told
    assert [line[0] for line in told.splitlines() if line[:1].isdigit()] == ["1", "2", "3", "4", "5", "6"]
    assert "when the Secret was emptied: 200 hello refund-agent" in told
    assert "✗ " in told
    assert "expired" in told
    assert told.splitlines()[-1].startswith(
        "Kubernetes, the operator and every certificate above were real; only"
    )
