"""What a refusal makes of the mailbox and of others, without a server, a clock or a database."""

import pytest

from warmup_core.oauth import Kind, Trouble
from warmup_core.replies import Scope
from warmup_worker.reactions import (
    OAUTH_GRANT,
    UNTIL_FIXED_SECONDS,
    Concerned,
    Reaction,
    react,
    react_to_token,
)

WHO = Concerned(user_id=7, address="a@one.example", host="smtp.one.example", recipient_id=42)


def reaction(phase: str, reply: str, failures: int = 0, attempt: int = 0) -> Reaction:
    return react(phase, reply, WHO, failures, 0.0, lambda scope, key, rule: attempt)


@pytest.mark.parametrize(
    ("phase", "reply", "scope", "key"),
    [
        ("rcpt", "550 5.1.1 No such user here", Scope.RECIPIENT, "42"),
        ("dot", "550 5.7.233 tenant exceeded its limit", Scope.TENANT, "7/smtp.one.example"),
        ("dot", "550 5.7.26 Unauthenticated email, DMARC check failed", Scope.DOMAIN, "one.example"),
        ("connect", "421 4.7.0 Try again later, closing connection", Scope.PROVIDER, "smtp.one.example"),
        (
            "connect",
            "554 5.7.1 Client host [192.0.2.1] blocked using Spamhaus",
            Scope.EGRESS,
            "smtp.one.example",
        ),
    ],
)
def test_whom_the_reply_names_pauses_and_the_mailbox_only_rests(
    phase: str, reply: str, scope: Scope, key: str
) -> None:
    found = reaction(phase, reply)
    assert found.pause is not None
    assert (found.pause.scope, found.pause.key) == (scope, key)
    assert found.rest <= 75
    assert not found.strike


def test_a_wrong_password_waits_for_a_person_and_is_a_strike() -> None:
    found = reaction("auth", "535 5.7.8 Username and Password not accepted")
    assert (found.rest, found.strike, found.pause) == (UNTIL_FIXED_SECONDS, True, None)
    assert found.hold.startswith("bad-credentials: ")


def test_no_reply_and_words_of_our_own_only_back_off() -> None:
    for phase, words in (
        ("connect", "no answer in time"),
        ("credential", "none is stored"),
        ("tls", "no STARTTLS"),
    ):
        found = reaction(phase, words)
        assert (found.hold, found.pause, found.strike) == (f"{phase}: {words}", None, False)
        assert found.rest == 45
        assert reaction(phase, words, failures=3).rest == 360


def test_a_reply_that_asks_for_a_time_gets_it_and_a_repeat_without_one_waits_longer() -> None:
    asked = reaction("mail", "450 4.7.1 too many messages from this account, retry in 600 seconds")
    assert asked.rest == 600
    tempfail = "451 4.3.0 Temporary system problem"
    assert reaction("dot", tempfail).rest == 300
    assert reaction("dot", tempfail, failures=2).rest == pytest.approx(300 * 1.3**2)


def test_nothing_is_tried_in_a_tight_loop() -> None:
    for reply in ("450 4.2.0 Greylisted", "552 5.3.4 Message too big", "550 5.1.1 No such user"):
        assert reaction("dot", reply, failures=4).rest >= 45, reply


def test_a_third_refused_recipient_in_a_row_costs_the_mailbox_not_the_recipient() -> None:
    assert reaction("rcpt", "550 5.1.1 No such user", failures=1).pause
    found = reaction("rcpt", "550 5.1.1 No such user", failures=2)
    assert (found.pause, found.rest) == (None, 180)


def test_a_provider_is_slowed_first_and_for_longer_each_time() -> None:
    reply = "421 4.7.0 Try again later, closing connection"
    first, again = reaction("connect", reply).pause, reaction("connect", reply, attempt=1).pause
    assert first
    assert again
    assert (first.per_minute, first.seconds, again.seconds) == (10, 1800, 3600)


def to_token(trouble: Trouble, attempt: int = 0, failures: int = 0, draw: float = 0.0) -> Reaction:
    return react_to_token("google", trouble, failures, draw, lambda scope, key, rule: attempt, 60.0)


def test_a_refused_refresh_token_holds_its_mailbox_until_a_person_acts() -> None:
    found = to_token(Trouble(Kind.GRANT_REFUSED, "invalid_grant: revoked"))
    assert (found.rest, found.strike, found.pause) == (UNTIL_FIXED_SECONDS, True, None)
    assert found.hold.startswith(f"{OAUTH_GRANT}: ")
    assert found.hold.endswith("google's token endpoint said: invalid_grant: revoked")


def test_an_unclear_answer_is_the_mailboxs_own_and_backs_off() -> None:
    first, later = (to_token(Trouble(Kind.UNCLEAR, "HTTP 200"), failures=it) for it in (0, 4))
    assert (first.pause, first.strike, first.hold) == (
        None,
        False,
        "oauth-unclear: no access token of google: HTTP 200",
    )
    assert 0 < first.rest < later.rest


@pytest.mark.parametrize(
    ("trouble", "attempt", "seconds", "alert"),
    [
        (Trouble(Kind.APPLICATION_REFUSED, "invalid_client"), 0, 60, True),
        (Trouble(Kind.APPLICATION_REFUSED, "invalid_client"), 1, 60, False),
        (Trouble(Kind.APPLICATION_REFUSED, "invalid_client"), 50, 60, False),
        (Trouble(Kind.UNAVAILABLE, "HTTP 503"), 0, 5, False),
        (Trouble(Kind.UNAVAILABLE, "HTTP 503"), 2, 20, False),
        (Trouble(Kind.UNAVAILABLE, "HTTP 503"), 3, 40, True),
        (Trouble(Kind.UNAVAILABLE, "HTTP 503"), 40, 300, False),
        (Trouble(Kind.UNAVAILABLE, "HTTP 429", 900.0), 0, 900, False),
        (Trouble(Kind.UNAVAILABLE, "HTTP 429", 0.0), 5, 1, False),
    ],
)
def test_an_applications_trouble_pauses_the_application_and_is_one_alarm(
    trouble: Trouble, attempt: int, seconds: float, alert: bool
) -> None:
    found, later = to_token(trouble, attempt), to_token(trouble, attempt, draw=0.999)
    assert found.pause is not None
    assert later.pause is not None
    assert (found.pause.scope, found.pause.key, found.pause.seconds) == (Scope.APPLICATION, "google", seconds)
    assert seconds < (later.pause.seconds or 0.0) <= 1.25 * seconds, "not all come back together"
    assert (found.alert, found.strike, found.pause.per_minute) == (alert, False, None)
    assert "google" in found.pause.reason
    assert trouble.words in found.pause.reason
