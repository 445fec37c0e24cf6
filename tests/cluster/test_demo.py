"""`make demo` where there is no node: the story is told to its end, and each of its scenes holds."""

import os
import re
import subprocess
import sys

from devcluster.places import CHECKOUT


def test_the_played_demo_tells_its_acts_and_says_what_was_played() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo"],
        cwd=CHECKOUT,
        env=os.environ | {"AGENTID_DEMO_NODE": "0", "AGENTID_KUBECONFIG": "/of/somebody"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    assert "AGENTID_KUBECONFIG is set, but not for this" in told
    scenes = [line.split()[0] for line in told.splitlines() if line[:1].isdigit()]
    assert scenes == [str(number) for number in range(1, 17)]
    first, _, rest = told.partition("\nAct two")
    second, _, third = rest.partition("\nAct three")
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
    assert "while the task goes on: 200 hello refund-agent" in third
    assert "✗ 403 TaskEnded: " in third
    assert re.search(r"→ the copied key is refused  \d+ ms after the end", third)
    assert re.search(r"✗ error .*: certificate revoked$", third, re.MULTILINE)
    assert re.search(r"^ +Serial Number: [0-9A-F]+$", third, re.MULTILINE)
    whole, _, edited = third.partition("--file edited.jsonl")
    assert "The ledger is whole." in whole
    assert "edited: its records are not" in edited
    assert told.splitlines()[-1].startswith(
        "Kubernetes, operator, decision point and every certificate above were real; only"
    )
