"""How settings are read: strictly, so that a typing error does not become a value."""

import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

from agentid.api.fields import Matches
from agentid.outbound.addresses import Network

_WHOLE_NUMBER: Final = re.compile(r"[0-9]{1,10}")
_TRUE_OR_FALSE: Final = {"true": True, "false": False}


def _whole_number(value: Any) -> Any:  # noqa: ANN401 - a validator is handed whatever was set
    # pydantic would also take "1_000" and " 7"; a typing error is not to become a number.
    if isinstance(value, str):
        if _WHOLE_NUMBER.fullmatch(value) is None:
            raise ValueError("must be a whole number, written with digits only")
        return int(value)
    return value


def _true_or_false(value: Any) -> Any:  # noqa: ANN401 - a validator is handed whatever was set
    if isinstance(value, str):
        if value not in _TRUE_OR_FALSE:
            raise ValueError("must be true or false")
        return _TRUE_OR_FALSE[value]
    return value


def _network(value: Any) -> Any:  # noqa: ANN401 - a validator is handed whatever was set
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    # A number would be taken for an address too, and an address alone for a network.
    if not isinstance(value, str) or "/" not in value:
        raise ValueError("must be a network such as 10.0.0.7/32")
    try:
        return ip_network(value)
    except ValueError as error:
        raise ValueError(f"must be a network such as 10.0.0.7/32: {error}") from error


LabelKey = Annotated[
    str,
    Matches(
        r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?",
        "the key of a label, such as example.com/environment",
    ),
]
LabelValue = Annotated[
    str,
    Matches(
        r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?",
        "the value of a label: at most 63 letters, digits, '-', '_' and '.'",
    ),
]
WholeNumber = Annotated[int, BeforeValidator(_whole_number)]
Switch = Annotated[bool, BeforeValidator(_true_or_false)]
AddressRange = Annotated[Network, BeforeValidator(_network)]
