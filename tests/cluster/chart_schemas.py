"""Makes of the running API server's OpenAPI the JSON schemas that kubeconform looks objects up in."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from devcluster.kubectl import Kubectl

Schema = dict[str, Any]

LOCATION: Final = "{{ .Group }}_{{ .ResourceAPIVersion }}_{{ .ResourceKind }}.json"
"""Names of the files, as kubeconform's template; for v1, its group is "v1" too."""

_REFERENCE: Final = "#/components/schemas/"
_ALTERNATIVES: Final = ("allOf", "anyOf", "oneOf")


def write_schemas(admin: Kubectl, api_versions: Iterable[str], folder: Path) -> None:
    """Write a schema for each kind of these API versions, in which no field is allowed that is not named.

    Args:
        admin: The cluster, which also describes the CRDs that it has.
        api_versions: Such as "v1" and "apps/v1".
        folder: Where to; each file holds all that it refers to.
    """
    for api_version in api_versions:
        path = f"apis/{api_version}" if "/" in api_version else f"api/{api_version}"
        described = json.loads(admin("get", "--raw", f"/openapi/v3/{path}"))["components"]["schemas"]
        definitions = {name: _strict(each) for name, each in described.items()}
        group, _, version = api_version.rpartition("/")
        for name, each in described.items():
            for kind in each.get("x-kubernetes-group-version-kind", ()):
                if (kind["group"], kind["version"]) == (group, version):
                    file = f"{group or version}_{version}_{kind['kind'].lower()}.json"
                    (folder / file).write_text(json.dumps(_document(name, definitions)))


def _document(name: str, definitions: Mapping[str, Schema]) -> Schema:
    """A schema with all that it refers to; OpenAPI 3.0 is written as draft 4 was."""
    return {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "allOf": [{"$ref": f"#/definitions/{name}"}],
        "definitions": definitions,
    }


def _strict(schema: Schema, *, whole: bool = True) -> Schema:
    """A schema that refers within its own document and, where it is whole, allows only its own fields."""
    made = dict(schema)
    if "$ref" in made:
        made["$ref"] = made["$ref"].replace(_REFERENCE, "#/definitions/")
    if "properties" in made:
        made["properties"] = {name: _strict(each) for name, each in made["properties"].items()}
        if whole and not made.get("x-kubernetes-preserve-unknown-fields"):
            made.setdefault("additionalProperties", False)
    for key in ("items", "additionalProperties"):
        if isinstance(made.get(key), dict):
            made[key] = _strict(made[key])
    # An alternative tells only what is special about it.
    for key in _ALTERNATIVES:
        if key in made:
            made[key] = [_strict(each, whole=False) for each in made[key]]
    return made
