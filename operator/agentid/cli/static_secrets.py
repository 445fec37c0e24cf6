"""Which static secrets tasks ask for, and what their AgentSecrets say, as far as the caller may see them."""

from collections.abc import Iterable, Mapping
from typing import Final

from agentid.api.agentsecret import AgentSecretSpec
from agentid.cli.session import Session
from agentid.cluster.connection import Body
from agentid.cluster.errors import ForbiddenError, NotFoundError
from agentid.cluster.paths import AGENT_SECRETS
from agentid.watched.facts import mapping, read, sequence, text

KIND: Final = "AgentSecret"

Declared = Mapping[str, AgentSecretSpec | None]
"""What AgentSecrets say, by name; None: there is none that counts. What is not in it could not be seen."""


def asked_for(tasks: Iterable[Body]) -> frozenset[str]:
    """Return the names of all static secrets that these tasks ask for."""
    specs = (mapping(each.get("spec")) for each in tasks)
    named = (mapping(one) for spec in specs for one in sequence(spec.get("staticSecrets")))
    return frozenset(text(each.get("name")) for each in named) - {""}


async def look(here: Session, names: Iterable[str], namespace: str | None) -> Declared:
    """Return what is declared of these names in the operator's namespace, None where that is not known."""
    found: dict[str, AgentSecretSpec | None] = {}
    for name in sorted(names) if namespace else ():
        try:
            found[name] = declared(await here.connection.get(AGENT_SECRETS.path(namespace, name)))
        except ForbiddenError:
            continue
        except (NotFoundError, ValueError):
            found[name] = None
    return found


def declared(body: Body) -> AgentSecretSpec | None:
    """Return what an AgentSecret says, as the operator reads it."""
    if "deletionTimestamp" in mapping(body.get("metadata")):
        return None
    return read(AgentSecretSpec, body.get("spec"))[0]
