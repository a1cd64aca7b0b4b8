"""What a token endpoint's answer means: whom it concerns, how long to wait, what is never repeated."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from warmup_core.oauth import Granted, Kind, Trouble, judge

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
EXPIRED_SECRET = "AADSTS7000222: The provided client secret keys for app 'x' are expired."


def answer(status: int, retry_after: str | None = None, **body: object) -> Granted | Trouble:
    return judge(status, json.dumps(body), retry_after, NOW)


def test_a_token_with_a_rotated_refresh_token() -> None:
    given = answer(200, access_token="at", token_type="Bearer", expires_in=3599, refresh_token="rt")
    assert given == Granted("at", 3599.0, "rt")
    assert "at" not in repr(given).replace("Granted", "")


@pytest.mark.parametrize(
    ("expires_in", "seconds"),
    [
        ("3600", 3600),
        (None, 300),
        ("soon", 300),
        (-5, 0),
        ("nan", 0),
        (10**9, 86_400),
        pytest.param(10**400, 300, id="endless"),
    ],
)
def test_an_end_that_is_unsaid_or_odd(expires_in: object, seconds: float) -> None:
    given = answer(200, access_token="at", expires_in=expires_in)
    assert isinstance(given, Granted)
    assert given.seconds == seconds


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (400, "invalid_grant", Kind.GRANT_REFUSED),
        (401, "invalid_grant", Kind.GRANT_REFUSED),
        (400, "interaction_required", Kind.GRANT_REFUSED),
        (403, "org_internal", Kind.GRANT_REFUSED),
        (401, "invalid_client", Kind.APPLICATION_REFUSED),
        (400, "unauthorized_client", Kind.APPLICATION_REFUSED),
        (400, "invalid_scope", Kind.APPLICATION_REFUSED),
        (400, "temporarily_unavailable", Kind.UNAVAILABLE),
        (429, "invalid_grant", Kind.UNAVAILABLE),
        (400, "invalid_request", Kind.UNCLEAR),
        (400, "something_new", Kind.UNCLEAR),
    ],
)
def test_whom_an_error_concerns(status: int, error: str, kind: Kind) -> None:
    trouble = answer(status, error=error, error_description=EXPIRED_SECRET)
    assert isinstance(trouble, Trouble)
    assert (trouble.kind, trouble.words) == (kind, f"{error}: {EXPIRED_SECRET}")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, "<html>Bad gateway</html>", Kind.UNAVAILABLE),
        (503, "", Kind.UNAVAILABLE),
        (404, "<html>Not found</html>", Kind.APPLICATION_REFUSED),
        (302, "", Kind.APPLICATION_REFUSED),
        (200, "<html>Welcome</html>", Kind.UNCLEAR),
        (200, "[]", Kind.UNCLEAR),
        (200, "[" * 60_000, Kind.UNCLEAR),
        (200, '{"access_token": ""}', Kind.UNCLEAR),
        (200, '{"access_token": "a\\u0001auth=Bearer b"}', Kind.UNCLEAR),
        (200, '{"access_token": "a\\r\\nRCPT TO:<x@y.example>"}', Kind.UNCLEAR),
        (200, '{"access_token": "a", "token_type": "mac"}', Kind.UNCLEAR),
        (200, '{"access_token": "a", "refresh_token": 7}', Kind.UNCLEAR),
    ],
)
def test_answers_of_what_is_no_token_endpoint_or_a_broken_one(status: int, body: str, kind: Kind) -> None:
    trouble = judge(status, body, None, NOW)
    assert isinstance(trouble, Trouble)
    assert trouble.kind is kind
    assert "<html>" not in trouble.words


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120),
        ("Wed, 25 Nov 2026 12:00:30 GMT", 30),
        ("Wed, 25 Nov 2026 11:00:00 GMT", 0),
        ("99999999", 3600),
        ("soon", None),
        ("Wed, 25 Nov 99999999999999999999 12:00:00 GMT", None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(header: str | None, seconds: float | None) -> None:
    for status in (429, 503):
        trouble = answer(status, header, error="slow_down")
        assert isinstance(trouble, Trouble)
        assert trouble.retry_after == seconds


@given(st.integers(100, 599), st.text(max_size=60), st.none() | st.text(max_size=20))
@settings(max_examples=60)
def test_any_answer_has_a_meaning(status: int, body: str, retry_after: str | None) -> None:
    assert judge(status, body, retry_after, NOW)
