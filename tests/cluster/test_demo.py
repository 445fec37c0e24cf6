"""`make demo` where there is no node: the story is told to its end, and each of its scenes holds."""

import os
import re
import subprocess
import sys

from devcluster.places import CHECKOUT


def test_the_played_demo_tells_both_acts_and_says_what_was_played() -> None:
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
    scenes = [line.split()[0] for line in told.splitlines() if line[:1].isdigit()]
    assert scenes == [str(number) for number in range(1, 11)]
    first, _, second = told.partition("\nAct two")
    assert "when the Secret was emptied: 200 hello refund-agent" in first
    assert "✗ " in first
    assert "expired" in first
    assert "AgentPolicy refunds is in force" in second
    assert re.search(r"^ +refund-4713 +refund-agent +AwaitingApproval ", second, re.MULTILINE)
    assert "allows it only when one person approves" in second
    assert re.search(r"^ +refund-4713 approved \(AgentApproval .*; it is Running$", second, re.MULTILINE)
    issued = re.search(r"→ spiffe://\S+/task/([0-9a-f-]{36})  issued \d+ ms after the approval", second)
    assert issued
    assert issued[1] not in first
    assert f"→ 200 hello refund-agent, task {issued[1]}" in second
    _, _, refused = second.partition("\n10 ")
    assert "refund-4714 is not allowed by policy." in refused
    assert 'AgentPolicy/refunds, rule "a-refund-names-its-order" forbids it' in " ".join(refused.split())
    assert told.splitlines()[-1].startswith(
        "Kubernetes, the operator and every certificate above were real; only"
    )
