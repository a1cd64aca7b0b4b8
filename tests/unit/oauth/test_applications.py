"""The file of OAuth applications: taken whole, or refused with every fault and without its secrets."""

import json

import pytest

from warmup_core.oauth import Application, parse_applications
from warmup_core.types import Refused

GOOGLE = {
    "client_id": "1.apps.example",
    "client_secret": "s3cret-of-google",
    "token_endpoint": "https://oauth2.googleapis.com/token",
    "scope": "https://mail.google.com/",
}


def faults(text: str) -> list[str]:
    with pytest.raises(Refused) as caught:
        parse_applications(text)
    assert "s3cret" not in str(caught.value)
    return caught.value.faults


def test_applications_by_name() -> None:
    read = parse_applications(json.dumps({"google": GOOGLE, "public": {**GOOGLE, "client_secret": ""}}))
    assert read["google"] == Application(
        "google", *(GOOGLE[it] for it in ("client_id", "token_endpoint", "client_secret", "scope"))
    )
    assert read["public"].client_secret == ""
    assert "s3cret" not in repr(read)
    assert parse_applications("{}") == {}


def test_every_fault_is_named_and_no_secret_shown() -> None:
    bad = {
        "plain": {**GOOGLE, "token_endpoint": "http://oauth.example/s3cret"},
        "user": {**GOOGLE, "token_endpoint": "https://u:s3cret@oauth.example/"},
        "more": {**GOOGLE, "secret": "s3cret"},
        "less": {"client_secret": "s3cret"},
        "wrong": {**GOOGLE, "client_secret": ["s3cret"]},
        "a b": GOOGLE,
    }
    assert faults(json.dumps(bad)) == [
        "plain: token_endpoint: write an https:// URL; secrets never go out in clear text",
        "user: token_endpoint: neither a user nor a fragment may stand in it",
        "more: secret: Extra inputs are not permitted",
        "less: client_id: Field required",
        "less: token_endpoint: Field required",
        "wrong: client_secret: Input should be a valid string",
        "'a b' is no name: up to 63 letters, digits, dots and dashes",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": \n s3cret', "line 2: it is not JSON"),
        ("", "line 1: it is not JSON"),
        ("[]", "it is not a JSON object of applications by name"),
        ('{"a": "s3cret"}', "a: it is not a JSON object"),
        (f'{{"a": {json.dumps(GOOGLE)}, "a": {json.dumps(GOOGLE)}}}', "'a' is there twice"),
    ],
)
def test_what_is_no_such_file(text: str, fault: str) -> None:
    assert faults(text) == [fault]
