"""Where things are kept: the checkout, and the cache outside it that outlives a clone."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
TOOLS = CHECKOUT / "tools"
CHART = CHECKOUT / "charts" / "agentid"
RUN_FOLDER = CHECKOUT / ".run"


def cache() -> Path:
    """The cache folder: `AGENTID_CACHE`, or `agentid` below the user's cache folder; made if missing."""
    if given := os.environ.get("AGENTID_CACHE"):
        folder = Path(given).expanduser().resolve()
    else:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").resolve() / "agentid"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
