"""Where in a text an error is: cedarpy says what is wrong, and not where."""

import re
from collections.abc import Sequence
from typing import Final

import cedarpy

from agentid.policy.errors import TextError
from agentid.policy.text import Statement, Token, error_at

_UNFINISHED: Final = "unexpected end of input"
_OF_A_TOKEN: Final = ("unexpected token", "invalid token")
_QUOTED: Final = re.compile(r"`([^`]+)`|'([^']+)'|(Action::\"[^\"]*\")")
_OF_POLICY: Final = re.compile(r"for policy `policy[0-9]+`, ")
_MAX_TOLD_LENGTH: Final = 400


def syntax_error(text: str, found: Sequence[Statement], message: str) -> TextError:
    """Return where the text stops being Cedar.

    That is the first rule that does not parse by itself. In it, it is the first token after which no rest
    could mend it, as until then Cedar only misses the end; or else what the complaint quotes.
    """
    for each in found:
        own = _complaint(text[each.start : each.end])
        if own is None:
            continue
        if own == _UNFINISHED:
            return error_at(text, each.end, "the text ends within a rule; a rule ends with ';'")
        token = _first_wrong_token(text, each) if own.startswith(_OF_A_TOKEN) else mentioned(each, own)
        return error_at(text, (token or each.tokens[0]).start, _told(own))
    return TextError(1, 1, _told(message))


def validation_error(text: str, statement: Statement, message: str, rule: str) -> TextError:
    """Return a complaint about a rule at what it names, or at the rule's start if it names nothing."""
    told = _OF_POLICY.sub("", message)
    where = mentioned(statement, told) or statement.tokens[0]
    return error_at(text, where.start, _told(told), rule)


def _complaint(text: str) -> str | None:
    try:
        cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        return str(error)
    return None


def _first_wrong_token(text: str, statement: Statement) -> Token | None:
    """Return the first token that cannot follow those before it."""
    tokens = statement.tokens
    good, bad = 0, len(tokens)
    while good < bad:
        middle = (good + bad) // 2
        if _complaint(text[statement.start : tokens[middle].end]) in {None, _UNFINISHED}:
            good = middle + 1
        else:
            bad = middle
    return tokens[bad] if bad < len(tokens) else None


def mentioned(statement: Statement, message: str) -> Token | None:
    """Return the first token of the rule that the message quotes."""
    for match in _QUOTED.finditer(message):
        name = next(part for part in match.groups() if part)
        last = re.split(r"::|\.(?!.*\")", name)[-1]
        for token in statement.tokens:
            if token.text in {last, f'"{last}"'}:
                return token
    return None


def _told(message: str) -> str:
    return message if len(message) <= _MAX_TOLD_LENGTH else message[: _MAX_TOLD_LENGTH - 1] + "…"
