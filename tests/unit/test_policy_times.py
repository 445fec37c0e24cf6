"""A decision holds until the time that it names: nothing that a rule does with the clock turns it before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agentid.policy.decision import Decision
from agentid.policy.engine import decide
from agentid.policy.layer import Layer
from agentid.policy.request import request
from agentid.policy.times import MILLISECOND
from agentid.policy.vocabulary import CONTEXT, PRINCIPAL, RESOURCE
from tests.unit.policy_questions import NOTHING, cluster, question, when

WEDNESDAY = datetime(2026, 6, 3, 10, 0, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def decided(layer: Layer, now: datetime, review_by: datetime | None = None) -> Decision:
    asked = question(now=now)
    return decide(
        replace(asked, agent=asked.agent.model_copy(update={"review_by": review_by})), layer, NOTHING
    )


@pytest.mark.parametrize(
    ("condition", "turns"),
    [
        ("resource.sensitivity < 3", None),
        ("context has time", None),
        ('context.time < datetime("2026-06-03T12:30:00Z")', "2026-06-03T12:30:00Z"),
        ('datetime("2026-06-03T14:30:00+0200") >= context.time', "2026-06-03T12:30:00Z"),
        ('context.time > datetime("2026-06-03T10:00:00Z")', "2026-06-03T10:00:00.001Z"),
        ('context.time < datetime("2026-06-03")', None),
        ('context.time.offset(duration("-1h")) < datetime("2026-06-03T12:00:00Z")', "2026-06-03T13:00:00Z"),
        ('context.time < datetime("2026-06-04").offset(duration("-1h30m"))', "2026-06-03T22:30:00Z"),
        ('context.time.durationSince(datetime("2026-06-01")) < duration("3d")', "2026-06-04T00:00:00Z"),
        ('datetime("2026-06-05").durationSince(context.time) > duration("1d")', "2026-06-04T00:00:00Z"),
        ("principal has reviewBy && context.time < principal.reviewBy", "2026-07-01T00:00:00Z"),
        (
            'principal has reviewBy && context.time < principal.reviewBy.offset(duration("-7d"))',
            "2026-06-24T00:00:00Z",
        ),
        ('context.time.toTime() < duration("17h30m")', "2026-06-03T17:30:00Z"),
        ('context.time.toTime() >= duration("9h")', "2026-06-04T00:00:00Z"),
        ("context.hour < 17", "2026-06-03T11:00:00Z"),
        ("context.weekday <= 5", "2026-06-03T11:00:00Z"),
        ("[1, 2].contains(context.hour - 9)", "2026-06-03T11:00:00Z"),
        ('context.time.toDate() < datetime("2026-06-04")', "2026-06-03T10:01:00Z"),
        ('context.time.durationSince(datetime("2026-06-01")).toHours() < 60', "2026-06-03T10:01:00Z"),
        ('[context.time].contains(datetime("2026-06-04"))', "2026-06-03T10:01:00Z"),
        ('{now: context.time}.now < datetime("2026-06-04")', "2026-06-03T10:01:00Z"),
        ('context.time.offset(duration("9223372036854775807ms")) > context.time', "2026-06-03T10:01:00Z"),
    ],
)
def test_a_decision_names_the_time_when_its_rule_may_turn(condition: str, turns: str | None) -> None:
    review = datetime(2026, 7, 1, tzinfo=UTC)

    decision = decided(cluster(when(condition)), WEDNESDAY, review)

    assert decision.holds_until == (None if turns is None else datetime.fromisoformat(turns))


def test_the_first_of_all_rules_of_both_layers_counts() -> None:
    later = cluster(when('context.time < datetime("2026-06-05")'), when("context.hour < 22"))
    sooner = cluster(when('context.time < datetime("2026-06-03T10:30:00Z")'))

    assert decide(question(now=WEDNESDAY), later, sooner).holds_until == WEDNESDAY + 30 * MINUTE


def test_a_time_that_is_not_given_is_never_met() -> None:
    layer = cluster(when("principal has reviewBy && context.time < principal.reviewBy"))

    assert decided(layer, WEDNESDAY).holds_until is None


def test_a_denial_has_its_time_too() -> None:
    decision = decided(cluster(when('context.time > datetime("2026-06-04")')), WEDNESDAY)

    assert not decision.allowed
    assert decision.holds_until == datetime(2026, 6, 4, tzinfo=UTC)


def test_the_end_of_time_is_never_met() -> None:
    layer = cluster(when('context.time < datetime("9999-12-31T23:59:59.999Z").offset(duration("99999d"))'))

    assert decided(layer, WEDNESDAY).holds_until is None


OFFSETS = st.integers(-3 * 24 * 60, 3 * 24 * 60)
COMPARE = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])


def written(moment: datetime) -> str:
    return f'datetime("{moment.isoformat(timespec="milliseconds")[:23]}Z")'


def duration(minutes: int) -> str:
    return f'duration("{minutes}m")' if minutes >= 0 else f'duration("-{-minutes}m")'


MOMENT = OFFSETS.map(lambda minutes: WEDNESDAY + minutes * MINUTE)
NOWS = st.sampled_from(
    ["context.time", 'context.time.offset(duration("-90m"))', 'context.time.offset(duration("1d1ms"))']
)
FIXED = st.one_of(
    MOMENT.map(written),
    st.tuples(MOMENT, OFFSETS).map(lambda pair: f"{written(pair[0])}.offset({duration(pair[1])})"),
    st.just("principal.reviewBy"),
    OFFSETS.map(lambda minutes: f"principal.reviewBy.offset({duration(minutes)})"),
)
DURATIONS = OFFSETS.map(duration)
COMPARISONS = st.one_of(
    st.tuples(NOWS, COMPARE, FIXED),
    st.tuples(FIXED, COMPARE, NOWS),
    st.tuples(NOWS, COMPARE, NOWS),
    st.tuples(NOWS.map(lambda now: f"{now}.toTime()"), COMPARE, st.integers(0, 1440).map(duration)),
    st.tuples(st.tuples(NOWS, FIXED).map(lambda p: f"{p[0]}.durationSince({p[1]})"), COMPARE, DURATIONS),
    st.tuples(DURATIONS, COMPARE, st.tuples(FIXED, NOWS).map(lambda p: f"{p[0]}.durationSince({p[1]})")),
    st.tuples(st.just("context.hour"), COMPARE, st.integers(0, 24).map(str)),
    st.tuples(st.just("context.weekday + context.hour"), COMPARE, st.integers(0, 30).map(str)),
).map(lambda parts: f"({' '.join(parts)})")
UNSOLVED = st.one_of(
    st.tuples(NOWS.map(lambda now: f"{now}.toDate()"), COMPARE, MOMENT.map(written)),
    st.tuples(
        NOWS.map(lambda now: f"{now}.durationSince(principal.reviewBy).toHours()"),
        COMPARE,
        st.integers(-72, 72).map(str),
    ),
).map(lambda parts: f"({' '.join(parts)})")
CONDITIONS = st.recursive(
    COMPARISONS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", "=="]), inner).map(lambda p: f"({' '.join(p)})"),
        inner.map(lambda each: f"!{each}"),
        st.tuples(inner, inner, inner).map(lambda p: f"(if {p[0]} then {p[1]} else {p[2]})"),
    ),
    max_leaves=4,
)


@settings(max_examples=300)
@given(CONDITIONS, MOMENT, OFFSETS, st.lists(st.floats(0, 1), min_size=4, max_size=4))
@example("(context.time <= principal.reviewBy)", WEDNESDAY, 0, [0.0])
def test_a_decision_holds_until_the_time_it_names(
    condition: str, review: datetime, offset: int, spots: list[float]
) -> None:
    layer = cluster(when(f"principal has reviewBy && {condition}"))
    now = WEDNESDAY + offset * MINUTE
    decision = decided(layer, now, review)

    until = decision.holds_until or now + timedelta(days=30)
    assert until > now
    last = until - MILLISECOND
    for moment in [last, *(now + spot * (last - now) for spot in spots)]:
        assert decided(layer, moment, review).allowed == decision.allowed, moment


@given(UNSOLVED, CONDITIONS, MOMENT, OFFSETS)
def test_what_cannot_be_solved_for_the_time_holds_for_a_minute_at_most(
    unsolved: str, other: str, review: datetime, offset: int
) -> None:
    layer = cluster(when(f"principal has reviewBy && {unsolved} == {other}"))
    now = WEDNESDAY + offset * MINUTE
    until = decided(layer, now, review).holds_until
    assert until is not None
    assert now < until <= now + MINUTE


@settings(max_examples=60)
@given(st.lists(CONDITIONS, min_size=1, max_size=3), MOMENT)
def test_following_the_times_ends_and_misses_no_turn(conditions: list[str], review: datetime) -> None:
    layer = cluster(*(when(f"principal has reviewBy && {each}") for each in conditions))
    known = decided(layer, WEDNESDAY, review)

    for _ in range(40):
        if known.holds_until is None:
            break
        midway = known.at + (known.holds_until - known.at) / 2
        assert decided(layer, midway, review).allowed == known.allowed
        following = decided(layer, known.holds_until, review)
        assert following.at > known.at
        known = following


def test_every_time_that_a_rule_can_compare_with_the_clock_is_known_exactly() -> None:
    given = [("principal", PRINCIPAL), ("resource", RESOURCE), ("context", CONTEXT)]
    times = {(owner, each.name) for owner, rows in given for each in rows if each.type == "datetime"}

    assert times - {("context", "time")} == request(question()).moments.keys()
