"""Write the schema, its reference and the chart's copy of the default policy, or check them."""

import sys
from pathlib import Path
from typing import Final

from agentid.api.generate import write_or_check
from agentid.policy.schema import reference, schema_text

_SCHEMA_FILE: Final = "deploy/policies/agentid.cedarschema"
_REFERENCE_FILE: Final = "docs/policy-schema.md"
_DEFAULT_POLICY: Final = Path("deploy/policies/default.cedar")
_CHARTS_COPY: Final = "charts/agentid/default.cedar"


def generated() -> dict[str, str]:
    """Return the text of each generated file by its path below the root of the repository."""
    return {
        _SCHEMA_FILE: schema_text(),
        _REFERENCE_FILE: reference(),
        _CHARTS_COPY: _DEFAULT_POLICY.read_text(encoding="utf-8"),
    }


if __name__ == "__main__":
    sys.exit(write_or_check(generated(), str(__doc__)))
