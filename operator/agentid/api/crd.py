"""CustomResourceDefinitions from the pydantic models, so that the API server enforces what the models say.

The schemas are structural (OpenAPI v3 as apiextensions.k8s.io/v1 wants it): nothing is referred to, nothing
is null, integers are 64 bits, an object that may be left out gets its parts' defaults.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from agentid.api.fields import MAX_COUNT, Model, validations
from agentid.api.kinds import Column, Kind
from agentid.api.names import CATEGORY, GROUP, VERSION

Schema = dict[str, Any]
"""A JSON schema, or a part of one: a tree that only its keywords type."""

_KEPT: Final = (
    "description",
    "type",
    "format",
    "enum",
    "default",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)
"""Keywords that go over as they are, in this order; the others are rebuilt or say nothing to Kubernetes."""


def definition(kind: Kind) -> Schema:
    """Return the CustomResourceDefinition of `kind`, ready to be written as YAML."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": kind.crd_name},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                **({"shortNames": list(kind.short_names)} if kind.short_names else {}),
                "categories": [CATEGORY],
            },
            "scope": kind.scope,
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    **({"subresources": {"status": {}}} if kind.status else {}),
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "schema": {"openAPIV3Schema": _object_schema(kind)},
                }
            ],
        },
    }


def _column(column: Column) -> Schema:
    return {
        "name": column.name,
        "type": column.type,
        "jsonPath": column.path,
        "description": column.description,
        **({"priority": 1} if column.wide else {}),
    }


def _object_schema(kind: Kind) -> Schema:
    parts = {"spec": _with_limits_told(structural(kind.spec))}
    if kind.status:
        parts["status"] = structural(kind.status)
    return {
        "description": kind.description,
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"description": f"{GROUP}/{VERSION}", "type": "string"},
            "kind": {"description": kind.name, "type": "string"},
            # Of metadata a CRD may say something about the name only: here that a rule can point at it.
            "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
            **parts,
        },
        **validations(kind.name_rule, *kind.rules),
    }


def structural(model: type[Model]) -> Schema:
    """Return the structural schema of `model`."""
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, schema.get("$defs", {}))


def _with_limits_told(schema: Schema) -> Schema:
    """Say defaults and bounds in the descriptions: `kubectl explain` shows nothing else of a field."""
    told = dict(schema)
    if "description" in schema:
        told["description"] = " ".join([schema["description"], *_limits(schema)])
    if "properties" in schema:
        told["properties"] = {name: _with_limits_told(part) for name, part in schema["properties"].items()}
    if "items" in schema:
        told["items"] = _with_limits_told(schema["items"])
    return told


def _limits(schema: Schema) -> Iterator[str]:
    match schema.get("default"):
        case bool(switch):
            yield f"Default: {str(switch).lower()}."
        case int() | str() as value:
            yield f"Default: {value}."
    if schema.get("maximum", MAX_COUNT) < MAX_COUNT:
        yield f"From {schema['minimum']} to {schema['maximum']}."
    if "maxItems" in schema:
        yield f"At most {schema['maxItems']} items."
    if "maxLength" in schema and "format" not in schema:
        yield f"At most {schema['maxLength']} characters."


def _convert(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    whole = _resolve(schema, definitions)
    converted: Schema = {keyword: whole[keyword] for keyword in _KEPT if keyword in whole}
    match whole["type"]:
        case "integer":
            converted["format"] = "int64"
        case "array":
            converted.setdefault("x-kubernetes-list-type", "atomic")
            converted["items"] = _convert(whole["items"], definitions)
        case "object":
            if "required" in whole:
                converted["required"] = whole["required"]
            converted["properties"] = {
                name: _property(name, part, whole, definitions) for name, part in whole["properties"].items()
            }
    if converted.get("default", ...) is None:
        del converted["default"]
    return converted


def _property(
    name: str, part: Mapping[str, Any], parent: Mapping[str, Any], definitions: Mapping[str, Any]
) -> Schema:
    converted = _convert(part, definitions)
    may_be_null = "anyOf" in part
    if converted["type"] == "object" and name not in parent.get("required", ()) and not may_be_null:
        # Without a default of its own the object would stay away, and the defaults of its parts with it.
        converted["default"] = {}
    return converted


def _resolve(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Schema:
    """Follow `$ref`, and read "X or null" as X: whoever means nothing leaves the field out."""
    whole = dict(schema)
    if "anyOf" in whole:
        (alternative,) = (option for option in whole.pop("anyOf") if option.get("type") != "null")
        whole = {**_resolve(alternative, definitions), **whole}
    if "$ref" in whole:
        target = definitions[whole.pop("$ref").removeprefix("#/$defs/")]
        whole = {**_resolve(target, definitions), **whole}
    return whole
