"""A request to a server behind a proxy, and the message of MCP in it, read as every server reads it."""

from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from agentid.gate.errors import BadRequestError
from agentid.gate.parameters import parameters
from agentid.gate.question import Parameter
from agentid.gate.strict_json import parse

TOOLS_CALL: Final = "tools/call"
"""The method of MCP that calls a tool."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request as a proxy tells of it.

    Attributes:
        method: Method of HTTP, in upper case.
        path: Its path as it was sent, with its query.
        host: The host that it is for, as it was sent; empty: not said.
        content_type: Its media type, as it was sent; empty: not said.
        content_encoding: How its body is encoded; empty: as it is.
        session: What its header Mcp-Session-Id says.
        body: Its body; None: it was not told.
        is_whole: Whether that is all of it.
    """

    method: str
    path: str
    host: str = ""
    content_type: str = ""
    content_encoding: str = ""
    session: str | None = None
    body: bytes | None = None
    is_whole: bool = True


@dataclass(frozen=True, slots=True)
class Message:
    """A message of JSON-RPC, as far as MCP is mapped by it.

    Attributes:
        method: Its method.
        tool: The tool that is called; None: another method.
        arguments: What the tool is called with.
    """

    method: str
    tool: str | None
    arguments: dict[str, Parameter]


def message(request: Request) -> Message:
    """Return the message in a request.

    Raises:
        BadRequestError: it is not one that every server reads alike.
    """
    if request.body is None or not request.is_whole:
        raise BadRequestError("its body was not told, or not all of it")
    if request.content_encoding not in {"", "identity"}:
        raise BadRequestError("its body is encoded")
    if request.content_type.partition(";")[0].strip().lower() != "application/json":
        raise BadRequestError("its body is not application/json")
    match parse(request.body):
        case {"jsonrpc": "2.0", "method": str(method)} if method != TOOLS_CALL:
            return Message(method, None, {})
        case {"jsonrpc": "2.0", "method": "tools/call", "params": dict() as given}:
            return _call_of_a_tool(given)
        case _:
            raise BadRequestError("its body is not one message of JSON-RPC 2.0")


def _call_of_a_tool(params: dict[str, JsonValue]) -> Message:
    tool, arguments = params.get("name"), params.get("arguments", {})
    if not isinstance(tool, str):
        raise BadRequestError("it names no tool")
    if not isinstance(arguments, dict):
        raise BadRequestError("its arguments are no object")
    return Message(TOOLS_CALL, tool, parameters(arguments))
