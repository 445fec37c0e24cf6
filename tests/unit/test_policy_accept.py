"""A policy text is accepted, or refused with line and column; none can end the process or hold it up."""

import hashlib
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentid.policy.accept import accept
from agentid.policy.errors import RefusedPolicyError, TextError
from agentid.policy.text import MAX_BYTES, MAX_RULES
from tests.unit.policy_questions import PERMIT, when

SOURCE = "ClusterAgentPolicy/default"
EXAMPLE = """\
permit (principal, action in [Action::"issue", Action::"renew"], resource)
when { resource.activeDeadlineSeconds <= 3600 && (resource.sensitivity < 3 || context.approved) };
"""


def refused(text: str) -> tuple[TextError, ...]:
    with pytest.raises(RefusedPolicyError) as caught:
        accept(SOURCE, text)
    return caught.value.errors


def test_the_example_of_the_design_is_accepted() -> None:
    policy = accept(SOURCE, EXAMPLE)

    assert [rule.name for rule in policy.rules] == ["ClusterAgentPolicy/default/policy0"]
    assert policy.text == EXAMPLE


def test_a_rule_is_named_by_its_id_else_by_its_place() -> None:
    policy = accept(
        SOURCE, f'{PERMIT};\n@id("frozen")\n@advice("Wait.")\nforbid(principal, action, resource);'
    )

    assert [(rule.name.rpartition("/")[2], rule.forbids, rule.advice) for rule in policy.rules] == [
        ("policy0", False, None),
        ("frozen", True, "Wait."),
    ]


def test_more_than_ten_rules_keep_their_order() -> None:
    text = "\n".join(f'@id("r{n}") {PERMIT};' for n in range(30))

    assert [rule.name for rule in accept(SOURCE, text).rules] == [f"{SOURCE}/r{n}" for n in range(30)]


def test_the_digest_is_what_sha256sum_says() -> None:
    digest = accept(SOURCE, EXAMPLE).digest

    assert digest == f"sha256:{hashlib.sha256(EXAMPLE.encode()).hexdigest()}"
    assert accept("AgentPolicy/other", EXAMPLE).digest == digest
    assert accept(SOURCE, f"{EXAMPLE} ").digest != digest


@pytest.mark.parametrize("text", ["", "// nothing yet\n"])
def test_a_text_without_rules_is_accepted_and_permits_nothing(text: str) -> None:
    assert accept(SOURCE, text).rules == ()


def marked(text: str) -> tuple[str, tuple[int, int]]:
    """A text without its mark `§`, and the line and column of the mark."""
    before, _, after = text.partition("§")
    return before + after, (before.count("\n") + 1, len(before) - before.rfind("\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"{PERMIT};\n\n{PERMIT} when {{ true §true }};", "unexpected token `true`"),
        (f"{PERMIT}\nwhen {{ resource.sensitivity §= 1 }};", "'=' is not a valid operator"),
        (f"{PERMIT};\n  {PERMIT}§", "ends within a rule"),
        (f"{PERMIT};\n§}};", "unexpected token `}`"),
        (f'{PERMIT} when {{ §"x }};', "invalid token"),
        (f"§{PERMIT} when {{ resource.sensitivity == 99999999999999999999 }};", "number too large"),
        ("p§\u0435rmit(principal, action, resource);", "invalid token"),
        (f"{PERMIT};\n@id(§x) {PERMIT};", "unexpected token `x`"),
        (f"{PERMIT}; §⚠", "invalid token"),
    ],
)
def test_what_does_not_parse_is_refused_where_it_stops_being_cedar(text: str, message: str) -> None:
    text, place = marked(text)

    (error,) = refused(text)

    assert message in error.message
    assert (error.line, error.column) == place


@pytest.mark.parametrize(
    ("text", "rule", "message"),
    [
        (
            f"{PERMIT}\nwhen {{ resource.§owner == 1 }};",
            "policy0",
            "attribute `owner` on entity type `Task` not",
        ),
        ('permit(principal, action == Action::§"isue", resource);', "policy0", "unrecognized action"),
        ('@id("x") permit(principal is §User, action, resource);', "x", "unrecognized entity type `User`"),
        (f'{PERMIT}\nwhen {{ context.§delegator == "x" }};', "policy0", "optional attribute `delegator`"),
        (
            when('context.environment.namespaceLabels.getTag(§"env") == "x"'),
            "policy0",
            'safety of access to tag `"env"`',
        ),
        (f"§{when('resource.purpose == 1')}", "policy0", "types Long and String are not compatible"),
        (when('datetime(§"2026-13-01") < context.time'), "policy0", "failed to parse as a datetime"),
        (f'{PERMIT};\n{PERMIT} when {{ context.§audience == "x" }};', "policy1", "`audience` in context"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused_where_it_is_named(
    text: str, rule: str, message: str
) -> None:
    text, place = marked(text)

    error = refused(text)[0]

    assert message in error.message
    assert (error.line, error.column) == place
    assert error.rule == rule


def test_one_mistake_is_told_once_though_it_is_one_for_each_action() -> None:
    assert len(refused(when('context.owner == "x"'))) == 1


def test_all_mistakes_are_told() -> None:
    text = f"{when('resource.owner == 1')}\n{when('resource.size == 1')}"

    assert [error.line for error in refused(text)] == [1, 2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("permit(principal == ?principal, action, resource);", "a template"),
        (f'@id("a") {PERMIT}; @id("a") {PERMIT};', "two rules have this name"),
        (f'@id("policy1") {PERMIT}; {PERMIT};', "two rules have this name"),
        (f'@id("a/b") {PERMIT};', "@id must be"),
        (f'@id("") {PERMIT};', "@id must be"),
        (f'@advice("{"x" * 257}") {PERMIT};', "@advice has more than 256"),
        (f'@id("a\\u{{202e}}b") {PERMIT};', "@id must be"),
        (f'@advice("a\\u{{202e}}b") {PERMIT};', "@advice holds U+202E"),
        (f'@advice("\\u{{1b}}[31mred") {PERMIT};', "@advice holds U+001B"),
        (f'@advice("one line\\nand another") {PERMIT};', "@advice holds U+000A"),
        (when('unknown("x")'), "`Unknown`"),
        (when("true" + " && true" * 120), "nesting exceeds"),
        (when(f'resource.purpose like "*{"a" * 4096}"'), "the patterns of `like`"),
        (f"{PERMIT}; \x00", "U+0000"),
        (f"{PERMIT}; // \u202e", "U+202E"),
        (f"{PERMIT}; // \ud800", "U+D800"),
        (f"{PERMIT};" * (MAX_RULES + 1), f"at most {MAX_RULES} are allowed"),
        ("é" * (MAX_BYTES // 2 + 1), f"at most {MAX_BYTES} are allowed"),
    ],
)
def test_what_could_mislead_or_overload_is_refused(text: str, message: str) -> None:
    assert message in refused(text)[0].message


def test_advice_that_hides_something_is_refused_where_it_is_written() -> None:
    error = refused(f'{PERMIT};\n@id("frozen")\n@advice("Wait.\\u{{200b}}") {PERMIT};')[0]

    assert (error.line, error.column, error.rule) == (3, 9, "frozen")


def test_as_many_rules_as_are_allowed_are_accepted() -> None:
    assert len(accept(SOURCE, f"{PERMIT};" * MAX_RULES).rules) == MAX_RULES


DEEP = {
    "brackets": lambda n: when("(" * n + "true" + ")" * n),
    "sets": lambda n: when("[" * n + "1" + "]" * n + " == [1]"),
    "records": lambda n: when("{a: " * n + "1" + "}" * n + " == {a: 1}"),
    "ands": lambda n: when("true" + " && true" * n),
    "sums": lambda n: when("1" + " + 1" * n + " > 1"),
    "ifs": lambda n: when("if true then true else " * n + "true"),
    "conditions of ifs": lambda n: when("if " * n + "true" + " then true else true" * n),
    "attributes": lambda n: when("resource" + ".a" * n),
    "clauses": lambda n: f"{PERMIT}" + " when { true }" * n + ";",
    "brackets that never close": lambda n: f"{PERMIT} when {{ {'(' * n}",
    "brackets behind a broken string": lambda n: when('"a\\\n' + "(" * n + "true" + ")" * n),
    "brackets beside operators": lambda n: when("(" * n + "true" + " && true)" * n),
}


@pytest.mark.parametrize("text", [make(2000) for make in DEEP.values()], ids=DEEP)
def test_a_text_that_would_overflow_the_parser_s_stack_is_refused_before(text: str) -> None:
    assert len(text.encode()) < MAX_BYTES
    assert refused(text)


@pytest.mark.parametrize("make", DEEP.values(), ids=DEEP)
def test_what_is_just_not_refused_does_not_end_the_process(make: Callable[[int], str]) -> None:
    # As deep as is let through to Cedar, which may refuse it itself. In a process of its own, for it may die.
    lines = [
        "import sys, threading",
        "from agentid.policy.accept import accept",
        "from agentid.policy.engine import decide",
        "from agentid.policy.errors import RefusedPolicyError",
        "from agentid.policy.layer import Layer",
        "from tests.unit.policy_questions import NOTHING, question",
        "def run():",
        "  for text in sys.stdin.read().split('\\x1f'):",
        "    try: decide(question(), Layer.of([accept('AgentPolicy/a', text)]), NOTHING)",
        "    except RefusedPolicyError: pass",
        "  print('done')",
        "thread = threading.Thread(target=run)",
        "thread.start()",
        "thread.join()",
    ]
    texts = "\x1f".join(make(depth) for depth in (90, 98, 99, 100, 130, 200, 399, 400))

    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], input=texts, text=True, check=False, capture_output=True
    )

    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


@pytest.mark.parametrize(
    "text",
    [
        '\\"' * (MAX_BYTES // 2),
        '"' * MAX_BYTES,
        "(" * MAX_BYTES,
        ";" * MAX_BYTES,
        "/" * MAX_BYTES,
        "a" * MAX_BYTES,
        "a " * (MAX_BYTES // 2),
        when("[" + ",".join(f'"{n}"' for n in range(8000)) + "].contains(resource.name)"),
    ],
    ids=range(8),
)
def test_the_worst_texts_take_no_time(text: str) -> None:
    started = time.process_time()
    with suppress(RefusedPolicyError):
        accept(SOURCE, text)
    assert time.process_time() - started < 5


PIECES = [*PERMIT.split(), '"', "\\", "(", "{", "when", ";", "@id", "?", "\n", "//", "context.time"]


@given(st.text(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=40).map(" ".join))
@example("permit(principal, action, resource) when { context }; ")
def test_any_text_is_accepted_or_refused_within_it(text: str) -> None:
    try:
        policy = accept(SOURCE, text)
    except RefusedPolicyError as error:
        lines = text.split("\n")
        for each in error.errors:
            assert 1 <= each.line <= len(lines)
            assert 1 <= each.column <= len(lines[each.line - 1]) + 1
    else:
        assert policy.text == text
