"""A verdict does not depend on how a reply is written down, and there is one for anything that a socket can deliver."""

import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.replies.cases import EVERYTHING, REFUSALS, Case
from warmup_core.replies import ALLOWED, Phase, Reaction, Scope, Verdict, classify

PHASES = st.sampled_from(list(Phase))
PROVIDERS = st.none() | st.sampled_from(sorted({case.provider for case in EVERYTHING}))
WORDS = st.sampled_from(sorted({word for case in EVERYTHING for word in case.reply.split()}))
REPLIES = (
    st.builds("{} {}".format, st.integers(200, 599), st.lists(WORDS, max_size=20).map(" ".join))
    | st.builds("{} {}".format, st.integers(0, 999), st.text(max_size=200))
    | st.text(max_size=200)
)


def meaning(verdict: Verdict) -> tuple[str, Scope, Reaction, int | None]:
    return verdict.rule, verdict.scope, verdict.reaction, verdict.retry_after


def texts(reply: str) -> tuple[str, str, list[str]]:
    """A reply's code, its enhanced code if each line has it, and the words of its text."""
    lines = reply.split("\r\n")
    codes = [re.match(r"\d{3}[ -] ?([245]\.\d{1,3}\.\d{1,3}) ", line) for line in lines]
    enhanced = codes[0][1] if codes[0] and all(codes) else ""
    return reply[:3], enhanced, " ".join(line[4:].strip().removeprefix(enhanced) for line in lines).split()


@settings(deadline=None)
@given(
    PHASES | st.text(max_size=10),
    REPLIES | st.binary(max_size=200),
    PROVIDERS,
    st.booleans(),
    st.integers(0, 1_000),
)
@example("after_dot", "550 \ud800\udcff 5.7.1", None, True, 0)
@example("rcpt", "1" * 5_000, None, True, 0)
def test_anything_gets_a_verdict(
    phase: str, reply: str | bytes, provider: str | None, single: bool, attempt: int
) -> None:
    verdict = classify(phase, reply, provider, single, attempt)
    assert (verdict.scope, verdict.reaction) in ALLOWED
    assert verdict.counts_against_mailbox_health == (
        verdict.reaction in (Reaction.PAUSE_MAILBOX_UNTIL_FIXED, Reaction.FAIL_MESSAGE)
    )
    assert verdict.retry_after is None or verdict.retry_after > 0
    assert verdict.wait is None or verdict.wait >= 0
    assert verdict.reason.isprintable()


@settings(deadline=None)
@given(PHASES, REPLIES, PROVIDERS)
def test_success_is_a_matter_of_the_code_alone(phase: Phase, reply: str, provider: str | None) -> None:
    positive = re.match(r"\s*(2\d\d|334|354)([ \t]|$)", reply.splitlines()[0] if reply.splitlines() else "")
    if positive and len(reply.splitlines()) == 1:
        assert classify(phase, reply, provider).reaction is Reaction.OK
    if classify(phase, reply, provider).reaction is Reaction.OK:
        assert re.search(r"(?m)^\s*(2\d\d|334|354)([ \t]|$)", reply.replace("\r", "\n"))


@settings(deadline=None)
@given(
    PHASES,
    st.sampled_from(["", "\r\n", "25", "250-2.0.0 Ok: queued", "550-5.7.1 half a refus", "\x15\x03\x03"]),
)
def test_silence_is_in_doubt_after_the_dot_and_nowhere_else(phase: Phase, cut: str) -> None:
    wanted = Reaction.IN_DOUBT if phase is Phase.AFTER_DOT else Reaction.RETRY
    assert classify(phase, cut).reaction is wanted


@settings(deadline=None)
@given(PHASES, REPLIES, PROVIDERS)
def test_a_complete_reply_is_never_in_doubt(phase: Phase, reply: str, provider: str | None) -> None:
    if re.fullmatch(r"(2\d\d|334|354|[45]\d\d) [^\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]*", reply):
        assert classify(phase, reply, provider).reaction is not Reaction.IN_DOUBT


@settings(deadline=None)
@given(st.sampled_from(REFUSALS), st.sampled_from([str.upper, str.lower, str.title]))
def test_case_does_not_matter(case: Case, change: Callable[[str], str]) -> None:
    changed = re.sub(
        r"(?<![\w./:&?=<>@-])[A-Za-z]+(?![\w./:&?=<>@-])", lambda word: change(word[0]), case.reply
    )
    assert meaning(classify(case.phase, changed, case.provider)) == meaning(
        classify(case.phase, case.reply, case.provider)
    )


@settings(deadline=None)
@given(
    st.sampled_from(REFUSALS), st.lists(st.integers(1, 12), min_size=1), st.sampled_from([" ", "  ", "\t"])
)
def test_where_lines_are_wrapped_does_not_matter(case: Case, widths: list[int], gap: str) -> None:
    code, enhanced, words = texts(case.reply)
    lines: list[str] = []
    while words:
        width = widths[len(lines) % len(widths)]
        lines.append(gap.join(words[:width]))
        words = words[width:]
    between = f" {enhanced}{' ' if enhanced else ''}"[1:]
    wrapped = "\r\n".join(
        f"{code}{' ' if number == len(lines) else '-'}{between}{line}"
        for number, line in enumerate(lines or [""], 1)
    )
    assert meaning(classify(case.phase, wrapped, case.provider)) == meaning(
        classify(case.phase, case.reply, case.provider)
    )


@settings(deadline=None)
@given(
    st.sampled_from(REFUSALS),
    st.sampled_from(["198.51.100.7", "2001:db8::7"]),
    st.sampled_from(["example.com.br", "firma.de"]),
)
def test_other_addresses_and_ids_do_not_matter(case: Case, ip: str, domain: str) -> None:
    other = case.reply.replace("192.0.2.10", ip).replace("@example.com", f"@{domain}")
    other = re.sub(r"\b[0-9a-f]{10,}\b", "4fa3b9c01d7e55", other)
    assert meaning(classify(case.phase, other, case.provider)) == meaning(
        classify(case.phase, case.reply, case.provider)
    )


@pytest.mark.parametrize(
    "case", [case for case in REFUSALS if case.reply.isascii()][::7], ids=lambda case: case.id
)
def test_octets_read_as_text_does(case: Case) -> None:
    assert classify(case.phase, case.reply.encode(), case.provider) == classify(
        case.phase, case.reply, case.provider
    )


@pytest.mark.parametrize(
    "text", ["550 Das Postfach des Empfängers ist überfüllt", "550 Boîte pleine", "550 El buzón está lleno"]
)
def test_servers_that_write_latin_1_are_understood(text: str) -> None:
    assert classify("rcpt", text.encode("latin-1")).reaction is Reaction.SUPPRESS_RECIPIENT
    surrogates = text.encode("latin-1").decode("utf-8", "surrogateescape")
    assert classify("rcpt", surrogates).reaction is Reaction.SUPPRESS_RECIPIENT


def test_a_long_reply_is_read_in_reasonable_time() -> None:
    endless = "550 " + "mailbox user quota exceeded the sender is not allowed limit of 5 " * 1_000
    assert classify("rcpt", endless).reaction is not Reaction.OK
