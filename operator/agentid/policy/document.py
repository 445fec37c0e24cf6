"""A question as OPA is asked it: the request that Cedar reads, as one plain JSON object."""

import hashlib
from collections.abc import Mapping

import orjson
from pydantic import JsonValue

from agentid.policy.encoding import Json
from agentid.policy.request import Request
from agentid.policy.vocabulary import PARAMETERS, TIME_ATTRIBUTES

_Entities = Mapping[tuple[str, str], Json]


def document(request: Request) -> Json:
    """Return `request` as one object with `principal`, `action`, `resource` and `context`.

    Cedar's entities stand there as their attributes, tags as an object, a `datetime` as a string (RFC 3339).
    """
    entities: _Entities = {
        (each["uid"]["type"], each["uid"]["id"]): each for each in orjson.loads(request.entities)
    }
    context = orjson.loads(str(request.as_cedar()["context"]))
    return {
        "principal": _named(request.principal, entities),
        "action": request.action["id"],
        "resource": _named(request.resource, entities),
        "context": _plain(context, entities),
    }


def digest_without_clock(document: Json) -> bytes:
    """Return what is the same for the same question at another time, and for no other question."""
    context = document["context"]
    if isinstance(context, dict):
        context = {name: value for name, value in context.items() if name not in TIME_ATTRIBUTES}
    text = orjson.dumps({**document, "context": context}, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).digest()


def _named(uid: Mapping[str, str], entities: _Entities) -> Json:
    attributes = _plain(entities[uid["type"], uid["id"]]["attrs"], entities)
    return {**uid, **attributes} if isinstance(attributes, dict) else {**uid}


def _plain(value: JsonValue, entities: _Entities) -> JsonValue:
    match value:
        case {"__extn": {"arg": str(text)}}:
            return text
        case {"__entity": {"type": str(kind), "id": str(name)}}:
            tags = entities[kind, name].get("tags")
            return _untyped(tags) if kind == PARAMETERS and isinstance(tags, dict) else tags
        case dict():
            return {name: _plain(each, entities) for name, each in value.items()}
        case list():
            return [_plain(each, entities) for each in value]
        case _:
            return value


def _untyped(parameters: Json) -> JsonValue:
    """Return the parameters of a call as they were sent; Cedar wants each in a record that tells its type."""
    return {name: next(iter(each.values())) for name, each in parameters.items() if isinstance(each, dict)}
