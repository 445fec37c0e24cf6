"""Which URLs may be set as places that the record is sent to."""

import re
from typing import Final
from urllib.parse import urlsplit

MAX_URL_LENGTH: Final = 1000
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\]")
_PATH: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/-]*")
_QUERY: Final = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def checked_url(text: str) -> str:
    """Return the URL as it is: http or https, host, and any path and query; no user, no fragment.

    Raises:
        ValueError: it is not acceptable; the text says why.
    """
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"is not a URL: {error}") from error
    if len(text) > MAX_URL_LENGTH:
        raise ValueError(f"must have at most {MAX_URL_LENGTH} characters")
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError(
            "must be a URL with https or http and a host, such as https://siem.example.com/agentid"
        )
    if "@" in parts.netloc or "#" in text or text != parts.geturl():
        raise ValueError("must have no user, no password and no fragment; a token is set apart from it")
    if _HOST.fullmatch(parts.netloc.removesuffix(f":{port}")) is None:
        raise ValueError("has a host that is neither a name nor an address")
    if _PATH.fullmatch(parts.path) is None or _QUERY.fullmatch(parts.query) is None:
        raise ValueError("has a path or query with characters that no URL has")
    return text
