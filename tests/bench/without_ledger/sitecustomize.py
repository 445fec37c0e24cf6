"""Makes an operator that records nothing, to measure what that costs; found by Python through PYTHONPATH."""

import os
import sys

if os.environ.get("BENCH_WITHOUT_LEDGER") and "agentid" in sys.orig_argv:
    from agentid.controller.ledger import Ledger

    async def _append(_self: Ledger, _record: bytes, _undo: object = None) -> None:
        return

    def _note(_self: Ledger, _record: bytes) -> None:
        return

    Ledger.append = _append  # type: ignore[method-assign]
    Ledger.note = _note  # type: ignore[method-assign]
