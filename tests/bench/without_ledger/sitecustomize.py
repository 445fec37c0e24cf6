"""Makes an operator that records nothing of tasks; found by Python through PYTHONPATH.

It revokes nothing either: the CRL follows what is recorded.
"""

import os
import sys

if os.environ.get("BENCH_WITHOUT_LEDGER") and "agentid" in sys.orig_argv:
    from agentid.controller import reconcile

    def _nothing(*_: object) -> None:
        return

    reconcile.entry = _nothing  # type: ignore[assignment]
