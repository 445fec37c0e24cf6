"""Write the schema and its reference from the table, or check them."""

import sys
from typing import Final

from agentid.api.generate import write_or_check
from agentid.policy.schema import reference, schema_text

_SCHEMA_FILE: Final = "deploy/policies/agentid.cedarschema"
_REFERENCE_FILE: Final = "docs/policy-schema.md"


def generated() -> dict[str, str]:
    """Return the text of each generated file by its path below the root of the repository."""
    return {_SCHEMA_FILE: schema_text(), _REFERENCE_FILE: reference()}


if __name__ == "__main__":
    sys.exit(write_or_check(generated(), str(__doc__)))
