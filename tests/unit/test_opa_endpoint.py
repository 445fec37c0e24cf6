"""Where OPA is, is said by the platform team alone."""

from collections.abc import Iterator

import pytest
import yaml

from devcluster.places import CHECKOUT

CRDS = sorted((CHECKOUT / "crds").glob("*.yaml"))


def names(schema: object) -> Iterator[str]:
    """The names of all fields in a schema."""
    if isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for each in schema.values():
            yield from names(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from names(each)


@pytest.mark.parametrize("crd", CRDS, ids=lambda path: path.stem)
def test_no_object_has_a_field_for_it(crd: object) -> None:
    fields = {each.lower() for each in names(yaml.safe_load(crd.read_text()))}  # type: ignore[attr-defined]
    assert "spec" in fields
    assert not [each for each in fields if "url" in each or "opa" in each or "endpoint" in each]
