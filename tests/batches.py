"""LedgerBatches that are whole in form; nobody signed them."""

from typing import Any

from agentid.api.ledgerbatch import batch_name

RECORD = '{"at":"2026-05-31T14:00:00Z","kind":"issued","schema":"agentid.dev/record/v1"}\n'


def batch_spec(sequence: int = 1, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - parts of a manifest
    """What a LedgerBatch says, with `changes` over it."""
    return {
        "sequence": sequence,
        "previousHash": f"sha256:{'0' * 64}",
        "root": f"sha256:{'1' * 64}",
        "count": 1,
        "at": "2026-05-31T14:00:00Z",
        "writer": "agentid-7d9f_5b0c3a3e",
        "nonce": "2" * 32,
        "keyID": f"sha256:{'3' * 64}",
        "signature": "A" * 86 + "==",
        "records": RECORD,
        **changes,
    }


def batch(sequence: int = 1, **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - as above
    """A LedgerBatch."""
    return {
        "apiVersion": "agentid.dev/v1alpha1",
        "kind": "LedgerBatch",
        "metadata": {"name": batch_name(sequence)},
        "spec": batch_spec(sequence, **changes),
    }
