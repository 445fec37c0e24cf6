"""Which URLs may be set as places that something is sent to, asked or fetched from."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

MAX_URL_LENGTH: Final = 1000
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_PATH: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_QUERY: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def checked_parts(text: str, example: str, longest: int = MAX_URL_LENGTH) -> SplitResult:
    """Return the parts of a URL: http or https, a host, no user, no fragment, in its normal form.

    Args:
        text: As it was set.
        example: One that is acceptable, for who set one that is not.
        longest: How many characters it may have.

    Raises:
        ValueError: it is not acceptable; the text says why.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from error
    if len(text) > longest:
        raise ValueError(f"must have at most {longest} characters")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(f"must be a URL with https or http and a host, such as {example}")
    if "@" in parts.netloc or "#" in text:
        raise ValueError("must have no user, no password and no fragment; a token is set apart from it")
    if text != parts.geturl():
        # Not told as it should be: a query may hold what nobody is to read.
        raise ValueError("is not in its normal form: scheme in lower case, no empty query, no white space")
    if _HOST.fullmatch(parts.netloc.removesuffix(f":{port}")) is None:
        raise ValueError("has a host that is neither a name nor an address")
    return parts


def checked_url(text: str) -> str:
    """Return the URL of a receiver as it is: scheme, host, and any path and query.

    Raises:
        ValueError: it is not acceptable; the text says why.
    """
    parts = checked_parts(text, "https://siem.example.com/agentid")
    if _PATH.fullmatch(parts.path) is None or _QUERY.fullmatch(parts.query) is None:
        raise ValueError("has a path or query with characters that no URL has")
    return text
