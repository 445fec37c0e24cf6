"""Policy text before Cedar sees it: its size, what is hidden in it, how deep it nests, where each rule is.

Cedar's parser calls itself for each level of nesting, and a text of 1.3 kB that nests 650 deep ends the whole
process (measured, cedarpy 4.12.2). No exception tells of it, so it has to be known before.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from agentid.policy.errors import TextError
from agentid.policy.load import OBJECT_LIMIT

MAX_BYTES: Final = OBJECT_LIMIT.size
"""Of one object's text, in UTF-8."""
MAX_RULES: Final = 256
"""In one object's text."""
MAX_DEPTH: Final = 400
"""Upper bound of the levels a rule nests: a third of what ends the process on a stack of 8 MiB."""

_BRACKET_DEPTH: Final = 4
"""What one bracket counts as: it takes more of the parser's stack than an operator."""

_TOKEN: Final = re.compile(
    r"(?P<space>\s+|//[^\n\r]*)"
    r'|(?P<string>"(?:\\.|[^"\\])*+"?)'
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>[0-9]+)"
    r"|(?P<mark>::|&&|\|\||==|!=|<=|>=|.)"
)
"""As Cedar's own lexer reads it; a string that does not end is one token here and an error there."""

_NESTING: Final = frozenset(
    {"&&", "||", "==", "!=", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "!", ".", "="}
)
_NESTING_WORDS: Final = frozenset({"in", "has", "like", "is", "if", "then", "else", "when", "unless"})
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]"
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text; `start` and `end` are offsets in it."""

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where the next one starts."""
        return self.start + len(self.text)


@dataclass(slots=True)
class _Group:
    """What is inside one pair of brackets, so far."""

    operators: int = 0
    deepest_child: int = 0
    deepest_part: int = 0

    def part(self) -> None:
        """End one part of a list: the next does not nest with it."""
        self.deepest_part = max(self.deepest_part, self.operators + self.deepest_child)
        self.operators = self.deepest_child = 0

    def depth(self) -> int:
        """Return how deep it nests at the most."""
        self.part()
        return self.deepest_part


@dataclass(frozen=True, slots=True)
class Statement:
    """One rule of the text, up to its semicolon, as tokens without blanks and comments."""

    tokens: tuple[Token, ...] = field(repr=False)

    @property
    def start(self) -> int:
        """Offset of its first token."""
        return self.tokens[0].start

    @property
    def end(self) -> int:
        """Offset after its last token."""
        return self.tokens[-1].end

    def depth(self) -> int:
        """Return an upper bound of the levels it nests, whatever the precedence of its operators."""
        open_groups = [_Group()]
        for token in self.tokens:
            if token.text in {"(", "[", "{"}:
                open_groups.append(_Group())
            elif token.text in {")", "]", "}"} and len(open_groups) > 1:
                _close(open_groups)
            elif token.text == ",":
                open_groups[-1].part()
            elif token.text in (_NESTING if token.kind == "mark" else _NESTING_WORDS):
                open_groups[-1].operators += 1
        while len(open_groups) > 1:
            _close(open_groups)
        return open_groups[0].depth()


def _close(open_groups: list[_Group]) -> None:
    depth = open_groups.pop().depth() + _BRACKET_DEPTH
    open_groups[-1].deepest_child = max(open_groups[-1].deepest_child, depth)


def statements(text: str) -> Iterator[Statement]:
    """Split `text` at its semicolons; Cedar has no other use for one outside strings and comments."""
    tokens: list[Token] = []
    for match in _TOKEN.finditer(text):
        kind = str(match.lastgroup)
        if kind == "space":
            continue
        tokens.append(Token(kind, match.group(), match.start()))
        if match.group() == ";":
            yield Statement(tuple(tokens))
            tokens = []
    if tokens:
        yield Statement(tuple(tokens))


def error_at(text: str, offset: int, message: str, rule: str | None = None) -> TextError:
    """Return an error at an offset of the text, with line and column."""
    before = text[:offset]
    line = before.count("\n") + 1
    return TextError(line, offset - (before.rfind("\n") + 1) + 1, message, rule)


def unfit(text: str) -> TextError | None:
    """Return why `text` must not even be parsed for its characters; None if it may."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MAX_BYTES:
        return TextError(1, 1, f"the text has {size} bytes; at most {MAX_BYTES} are allowed. Split it up.")
    unseen = _UNSEEN.search(text) or re.search("[\ud800-\udfff]", text)
    if unseen is None:
        return None
    named = unicodedata.name(unseen.group(), "a control character")
    shown = f"U+{ord(unseen.group()):04X} ({named})"
    return error_at(text, unseen.start(), f"holds {shown}, which cannot be seen. Remove it.")


def too_much(text: str, found: Sequence[Statement]) -> TextError | None:
    """Return which bound the rules of `text` break; None if they hold all."""
    if len(found) > MAX_RULES:
        said = f"this is rule {MAX_RULES + 1}; at most {MAX_RULES} are allowed in one object"
        return error_at(text, found[MAX_RULES].start, f"{said}. Split it up.")
    tokens = [token for each in found for token in each.tokens]
    if len(tokens) > OBJECT_LIMIT.tokens:
        said = f"the rules have {len(tokens)} words and marks; at most {OBJECT_LIMIT.tokens} are allowed"
        return error_at(text, tokens[OBJECT_LIMIT.tokens].start, f"{said} in one object. Split it up.")
    deep = next((each for each in found if each.depth() > MAX_DEPTH), None)
    if deep is None:
        return None
    said = "this rule nests too deep: too many brackets, or operators in one condition"
    return error_at(text, deep.start, f"{said}. Split it up.")
