"""Which action on what a call is, by configuration, for HTTP, tools of MCP and gRPC: the first that fits.

What fits nothing is denied, and so is what could be read in two ways.
"""

from collections.abc import Mapping as AnyMapping
from typing import Annotated, Final, Literal, Self

import yaml
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from agentid.api.fields import Action, Matches, Model, Resource
from agentid.gate.answer import Denial, Reason
from agentid.gate.errors import BadRequestError, UnusableMappingError
from agentid.gate.question import Call, Parameter
from agentid.gate.request import TOOLS_CALL, Message, Request, message
from agentid.gate.templates import PathTemplate, TextTemplate, segments

MAX_BYTES: Final = 1_048_576
"""Of the text of a mapping."""
_RESOURCE: Final = TypeAdapter[str](Resource)
_ARGUMENTS: Final = "arguments."

Path = Annotated[str, Field(min_length=1, max_length=1024)]
Host = Annotated[
    str,
    Field(max_length=253),
    Matches(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", "a host name in lower case, no port"),
]


class HttpRoute(Model):
    """Requests by method and path, such as GET /orders/{order}."""

    methods: list[Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]] = Field(
        min_length=1, max_length=7
    )
    path: Path


class McpRoute(Model):
    """Messages to an MCP server at a path: calls of a tool, or messages of another method."""

    path: Path
    method: Annotated[str, Field(min_length=1, max_length=128)] = TOOLS_CALL
    tool: Annotated[str, Field(min_length=1, max_length=128)] | None = None

    @model_validator(mode="after")
    def _a_tool_is_called(self) -> Self:
        if (self.tool is None) is (self.method == TOOLS_CALL):
            raise ValueError("tool names the tool of tools/call, and no other method has one")
        return self


class GrpcRoute(Model):
    """Calls of one method of a gRPC service."""

    method: Annotated[
        str,
        Field(max_length=253),
        Matches(r"[A-Za-z_][A-Za-z0-9_.]*/[A-Za-z_][A-Za-z0-9_]*", "a method such as shop.Orders/Get"),
    ]


class Route(Model):
    """Calls of one sort, with the action that they are and what that is done to."""

    hosts: Annotated[list[Host], Field(max_length=64)] = Field(default_factory=list)
    http: HttpRoute | None = None
    mcp: McpRoute | None = None
    grpc: GrpcRoute | None = None
    action: Action
    resource: Annotated[str, Field(min_length=1, max_length=253)] | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if sum(each is not None for each in (self.http, self.mcp, self.grpc)) != 1:
            raise ValueError("a route has one of http, mcp and grpc")
        path = self.http or self.mcp
        names = set(PathTemplate.parse(path.path).names) if path is not None else set[str | None]()
        wanted = TextTemplate.parse(self.resource).names if self.resource is not None else ()
        for name in wanted:
            is_argument = self.mcp is not None and self.mcp.tool is not None and name.startswith(_ARGUMENTS)
            if name not in names and not is_argument:
                raise ValueError(f"resource names {{{name}}}, which the route has not")
        return self


class Mapping(Model):
    """All routes, in the order in which they are tried."""

    routes: Annotated[list[Route], Field(max_length=1000)] = Field(default_factory=list)


def read_mapping(text: str) -> Mapping:
    """Read a mapping from YAML.

    Raises:
        UnusableMappingError: it is too large, no YAML, or does not fit; the text names the place.
    """
    if len(text.encode(errors="replace")) > MAX_BYTES:
        raise UnusableMappingError(f"a mapping has at most {MAX_BYTES} bytes")
    try:
        return Mapping.model_validate(yaml.safe_load(text) or {})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the mapping"
        raise UnusableMappingError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error
    except (yaml.YAMLError, RecursionError, UnicodeError, ValueError) as error:
        raise UnusableMappingError(f"this is not YAML: {error}") from error


class Mapper:
    """A mapping that is ready to be used."""

    def __init__(self, mapping: Mapping) -> None:
        self._routes = [(route, _template(route), _resource(route)) for route in mapping.routes]

    def call(self, request: Request) -> Call | Denial:
        """Return which call `request` is, or why that is not known."""
        path = segments(request.path)
        if path is None:
            return _denied("its path can be read in more than one way")
        host = request.host.rpartition(":")[0] if _has_port(request.host) else request.host
        fitting = [
            (route, values, resource)
            for route, template, resource in self._routes
            if (not route.hosts or host.lower() in route.hosts)
            and (values := template.match(path)) is not None
        ]
        told: Message | None = None
        if request.method == "POST" and any(route.mcp is not None for route, _, _ in fitting):
            # Whatever else fits that path: a message to a tool is nothing but that.
            fitting = [each for each in fitting if each[0].mcp is not None]
            try:
                told = message(request)
            except BadRequestError as error:
                return _denied(f"it is no message of MCP that can be told: {error}")
        for route, values, resource in fitting:
            if _fits(route, request, told):
                return _call(route, values, resource, request, told)
        return _denied("no route fits it")


def _call(
    route: Route,
    values: AnyMapping[str, Parameter],
    resource: TextTemplate | None,
    request: Request,
    said: Message | None,
) -> Call | Denial:
    told = said.arguments if said is not None else values
    filled = None
    if resource is not None:
        arguments = {f"{_ARGUMENTS}{name}": value for name, value in told.items()} if said else {}
        filled = resource.fill({**arguments, **values})
        try:
            filled = _RESOURCE.validate_python(filled)
        except ValidationError:
            return _denied(f"what it is done to (route of {route.action}) cannot be told from it")
    return Call(route.action, filled, said.tool if said else None, dict(told), request.session)


def _fits(route: Route, request: Request, said: Message | None) -> bool:
    match route:
        case Route(http=HttpRoute(methods=methods)):
            return request.method in methods
        case Route(mcp=McpRoute(method=method, tool=tool)):
            return said is not None and (said.method, said.tool) == (method, tool)
        case _:
            is_grpc = request.content_type.startswith("application/grpc")
            return is_grpc and request.method == "POST"


def _template(route: Route) -> PathTemplate:
    if route.grpc is not None:
        return PathTemplate.parse(f"/{route.grpc.method}")
    path = route.http or route.mcp
    if path is None:
        raise UnusableMappingError("a route has one of http, mcp and grpc")
    return PathTemplate.parse(path.path)


def _resource(route: Route) -> TextTemplate | None:
    return None if route.resource is None else TextTemplate.parse(route.resource)


def _has_port(host: str) -> bool:
    return host.rpartition(":")[2].isdecimal() and not host.endswith("]")


def _denied(why: str) -> Denial:
    said = f"It is not known which action this call is: {why}"
    return Denial(Reason.NOT_MAPPED, f"{said}. Have the platform team add a route to the mapping.")
