import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agentid.pki.errors import InvalidSpiffeIdError
from agentid.pki.spiffe_id import SpiffeId, TrustDomain

UID = "6f0b4f6e-30c5-4a55-9d3c-1f6f7f9c2b11"

# The grammar of the SPIFFE-ID standard, written down a second time and in one piece.
SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]{1,255}(?:/(?!\.{1,2}(?:/|\Z))[a-zA-Z0-9._-]+)*")

segments = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20).filter(
    lambda segment: segment not in {".", ".."}
)
trust_domain_names = st.text(string.ascii_lowercase + string.digits + "._-", min_size=1, max_size=255)
spiffe_ids = st.builds(
    lambda name, path: f"spiffe://{name}" + "".join(f"/{segment}" for segment in path),
    trust_domain_names,
    st.lists(segments, max_size=12),
)
# Texts near the border: right ones with one thing put in, and anything at all.
near_misses = st.builds(
    lambda text, at, foreign: text[: at % (len(text) + 1)] + foreign + text[at % (len(text) + 1) :],
    spiffe_ids,
    st.integers(0, 300),
    st.sampled_from(
        ["/", ".", "..", "/..", "%", "%2e", ":", "@", "?", "#", "A", "\n", "\0", " ", "\u0430", "\xb7", "//"]
    ),
)


def spiffe_id_of_length(length: int) -> str:
    start = "spiffe://example.org/"
    return start + "a" * (length - len(start))


@given(spiffe_ids)
def test_every_spiffe_id_of_the_standard_is_accepted_and_written_back_unchanged(text: str) -> None:
    parsed = SpiffeId.parse(text)
    assert str(parsed) == text
    assert SpiffeId.parse(str(parsed)) == parsed


@given(st.one_of(near_misses, st.text(), spiffe_ids, st.text().map("spiffe://example.org/".__add__)))
@example("spiffe://example.org/a\n")
@example("spiffe://example.org/\ud800")
@example("spiffe://example.org/..")
def test_a_text_is_accepted_exactly_when_the_standard_allows_it(text: str) -> None:
    allowed = SPIFFE_ID.fullmatch(text) is not None and len(text.encode(errors="surrogatepass")) <= 2048
    try:
        parsed = SpiffeId.parse(text)
    except InvalidSpiffeIdError:
        assert not allowed
    else:
        assert allowed
        assert str(parsed) == text


@given(st.one_of(trust_domain_names, st.text(max_size=300)))
def test_a_trust_domain_is_accepted_exactly_when_the_standard_allows_it(text: str) -> None:
    allowed = re.fullmatch(r"[a-z0-9._-]{1,255}", text) is not None
    try:
        parsed = TrustDomain.parse(text)
    except InvalidSpiffeIdError:
        assert not allowed
    else:
        assert allowed
        assert str(parsed) == text
        assert TrustDomain.parse(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "SPIFFE ID '' does not begin with spiffe://"),
        ("example.org/a", "SPIFFE ID 'example.org/a' does not begin with spiffe://"),
        ("https://example.org/a", "SPIFFE ID 'https://example.org/a' does not begin with spiffe://"),
        ("SPIFFE://example.org/a", "SPIFFE ID 'SPIFFE://example.org/a' does not begin with spiffe://"),
        (" spiffe://example.org/a", "SPIFFE ID ' spiffe://example.org/a' does not begin with spiffe://"),
        ("spiffe:/example.org/a", "SPIFFE ID 'spiffe:/example.org/a' does not begin with spiffe://"),
        ("spiffe://", "a trust domain must not be empty"),
        ("spiffe:///a", "a trust domain must not be empty"),
        ("spiffe://Example.org/a", "trust domain 'Example.org' holds 'E'"),
        ("spiffe://example.org:8443/a", "trust domain 'example.org:8443' holds ':'"),
        ("spiffe://carol@example.org/a", "trust domain 'carol@example.org' holds '@'"),
        ("spiffe://ex%61mple.org/a", "trust domain 'ex%61mple.org' holds '%'"),
        ("spiffe://example.org?a=b", "trust domain 'example.org?a=b' holds '?'"),
        ("spiffe://example.org#a", "trust domain 'example.org#a' holds '#'"),
        ("spiffe://[::1]/a", "trust domain '[::1]' holds '['"),
        ("spiffe://ex\u0430mple.org/a", r"trust domain 'ex\u0430mple.org' holds '\u0430'"),
        ("spiffe://example.org\n", r"trust domain 'example.org\n' holds '\n'"),
        (
            "spiffe://example.org/",
            "SPIFFE ID 'spiffe://example.org/' has an empty path segment or ends in '/'",
        ),
        ("spiffe://example.org/a/", "SPIFFE ID 'spiffe://example.org/a/' has an empty path segment"),
        ("spiffe://example.org//a", "SPIFFE ID 'spiffe://example.org//a' has an empty path segment"),
        ("spiffe://example.org/./a", "SPIFFE ID 'spiffe://example.org/./a' has the path segment '.'"),
        ("spiffe://example.org/a/..", "SPIFFE ID 'spiffe://example.org/a/..' has the path segment '..'"),
        ("spiffe://example.org/%2e%2e/a", "SPIFFE ID 'spiffe://example.org/%2e%2e/a' holds '%' in its path"),
        ("spiffe://example.org/a?b=c", "SPIFFE ID 'spiffe://example.org/a?b=c' holds '?' in its path"),
        ("spiffe://example.org/a#b", "SPIFFE ID 'spiffe://example.org/a#b' holds '#' in its path"),
        ("spiffe://example.org/a b", "SPIFFE ID 'spiffe://example.org/a b' holds ' ' in its path"),
        ("spiffe://example.org/a\n", r"SPIFFE ID 'spiffe://example.org/a\n' holds '\n' in its path"),
        ("spiffe://example.org/a\0", r"SPIFFE ID 'spiffe://example.org/a\x00' holds '\x00' in its path"),
        (
            "spiffe://example.org/\u0430",
            r"SPIFFE ID 'spiffe://example.org/\u0430' holds '\u0430' in its path",
        ),
        (
            "spiffe://example.org/e\u0301",
            r"SPIFFE ID 'spiffe://example.org/e\u0301' holds '\u0301' in its path",
        ),
        ("spiffe://example.org/\u00e9", r"SPIFFE ID 'spiffe://example.org/\xe9' holds '\xe9' in its path"),
        (
            "spiffe://example.org/\ud800",
            r"SPIFFE ID 'spiffe://example.org/\ud800' holds '\ud800' in its path",
        ),
    ],
)
def test_what_is_no_spiffe_id_is_refused_with_the_reason(text: str, message: str) -> None:
    with pytest.raises(InvalidSpiffeIdError) as refused:
        SpiffeId.parse(text)
    assert str(refused.value).startswith(message)


def test_2048_bytes_are_accepted_and_2049_refused() -> None:
    assert len(str(SpiffeId.parse(spiffe_id_of_length(2048)))) == 2048
    with pytest.raises(InvalidSpiffeIdError, match="has more than 2048 bytes"):
        SpiffeId.parse(spiffe_id_of_length(2049))


def test_a_trust_domain_of_255_bytes_is_accepted_and_256_refused() -> None:
    assert TrustDomain.parse("a" * 255).name == "a" * 255
    with pytest.raises(InvalidSpiffeIdError, match="has 256 bytes; at most 255 are allowed"):
        TrustDomain.parse("a" * 256)


@pytest.mark.parametrize(
    "huge", ["spiffe://" + "a" * 1_400_000, "spiffe://example.org" + "/a" * 100_000, "x" * 1_400_000]
)
def test_a_refusal_of_a_huge_text_stays_readable(huge: str) -> None:
    with pytest.raises(InvalidSpiffeIdError) as refused:
        SpiffeId.parse(huge)
    assert len(str(refused.value)) < 300


def test_no_invalid_value_can_be_made_without_parsing() -> None:
    with pytest.raises(InvalidSpiffeIdError, match="does not begin with '/'"):
        SpiffeId(TrustDomain("example.org"), "a/b")
    with pytest.raises(InvalidSpiffeIdError, match=r"path segment '\.\.'"):
        SpiffeId(TrustDomain("example.org"), "/a/../b")
    with pytest.raises(InvalidSpiffeIdError, match="holds 'E'"):
        TrustDomain("Example.org")


def test_only_the_trust_domain_itself_has_no_path() -> None:
    assert SpiffeId.parse("spiffe://example.org").path == ""
    assert SpiffeId.parse("spiffe://example.org/a/b") == SpiffeId(TrustDomain("example.org"), "/a/b")


def test_a_task_has_its_uid_in_its_spiffe_id() -> None:
    spiffe_id = SpiffeId.for_task(TrustDomain("example.org"), "support", "refund-agent", UID)
    assert str(spiffe_id) == f"spiffe://example.org/ns/support/agent/refund-agent/task/{UID}"
    assert SpiffeId.parse(str(spiffe_id)) == spiffe_id


def test_the_longest_names_kubernetes_gives_make_a_spiffe_id() -> None:
    agent = ".".join(["a" * 63] * 3 + ["a" * 61])
    assert len(agent) == 253
    assert SpiffeId.for_task(TrustDomain("t" * 255), "n" * 63, agent, UID)


@pytest.mark.parametrize(
    ("namespace", "agent", "uid", "message"),
    [
        ("", "refund-agent", UID, "namespace '' is not an RFC 1123 label"),
        ("n" * 64, "refund-agent", UID, f"namespace '{'n' * 64}' is not an RFC 1123 label"),
        ("Support", "refund-agent", UID, "namespace 'Support' is not an RFC 1123 label"),
        ("sup.port", "refund-agent", UID, "namespace 'sup.port' is not an RFC 1123 label"),
        ("a/agent/b", "refund-agent", UID, "namespace 'a/agent/b' is not an RFC 1123 label"),
        ("support\n", "refund-agent", UID, r"namespace 'support\n' is not an RFC 1123 label"),
        ("support", "", UID, "Agent name '' is not an RFC 1123 subdomain"),
        ("support", "..", UID, "Agent name '..' is not an RFC 1123 subdomain"),
        ("support", "a/task/b", UID, "Agent name 'a/task/b' is not an RFC 1123 subdomain"),
        ("support", "refund_agent", UID, "Agent name 'refund_agent' is not an RFC 1123 subdomain"),
        ("support", "-a", UID, "Agent name '-a' is not an RFC 1123 subdomain"),
        ("support", "r\u0435fund", UID, r"Agent name 'r\u0435fund' is not an RFC 1123 subdomain"),
        ("support", "refund-agent", "", "task UID '' is not an RFC 4122 UUID in lower case"),
        ("support", "refund-agent", UID.upper(), f"task UID '{UID.upper()}' is not an RFC 4122 UUID"),
        (
            "support",
            "refund-agent",
            UID.replace("-", ""),
            f"task UID '{UID.replace('-', '')}' is not an RFC 4122 UUID",
        ),
        ("support", "refund-agent", f"{{{UID}}}", f"task UID '{{{UID}}}' is not an RFC 4122 UUID"),
        ("support", "refund-agent", f"{UID}\n", f"task UID '{UID}\\n' is not an RFC 4122 UUID"),
        ("support", "refund-agent", f"{UID}/x", f"task UID '{UID}/x' is not an RFC 4122 UUID"),
    ],
)
def test_names_that_kubernetes_never_gave_make_no_identity(
    namespace: str, agent: str, uid: str, message: str
) -> None:
    with pytest.raises(InvalidSpiffeIdError) as refused:
        SpiffeId.for_task(TrustDomain("example.org"), namespace, agent, uid)
    assert str(refused.value).startswith(message)


def test_an_agent_name_of_254_characters_makes_no_identity() -> None:
    with pytest.raises(InvalidSpiffeIdError, match="is not an RFC 1123 subdomain"):
        SpiffeId.for_task(TrustDomain("example.org"), "support", ".".join(["a" * 63] * 3 + ["a" * 62]), UID)


@given(st.text(max_size=80), st.text(max_size=80), st.text(max_size=60))
def test_no_name_can_reach_into_another_part_of_the_identity(namespace: str, agent: str, uid: str) -> None:
    try:
        spiffe_id = SpiffeId.for_task(TrustDomain("example.org"), namespace, agent, uid)
    except InvalidSpiffeIdError:
        return
    assert spiffe_id.path.split("/") == ["", "ns", namespace, "agent", agent, "task", uid]


def test_one_identity_is_one_key_in_a_dictionary() -> None:
    one = SpiffeId.parse("spiffe://example.org/a")
    assert {one: 1}[SpiffeId(TrustDomain("example.org"), "/a")] == 1
    with pytest.raises(AttributeError):
        one.path = "/b"  # type: ignore[misc]
