"""A fleet as an API server has it, whose CRD may be of another release than the operator that reads it."""

from typing import Any

import pytest
from pydantic import ValidationError

from warmup_core.spec import WarmupFleetSpec

OLD: dict[str, Any] = {
    "database": {"urlSecretRef": {"name": "main-database"}},
    "encryption": {"keysSecretRef": {"name": "main-keys"}},
}


def test_fields_that_an_older_crd_does_not_have_are_at_their_defaults() -> None:
    assert WarmupFleetSpec.stored(OLD) == WarmupFleetSpec.model_validate(OLD)
    assert WarmupFleetSpec.stored(OLD).recipients.reply_percent == 30


def test_fields_of_a_newer_crd_are_passed_over_wherever_they_stand() -> None:
    limit = {"name": "gmail", "perMailboxPerDay": 400}
    newer = OLD | {
        "courtesy": 5,
        "workers": {"max": 7, "courtesy": {"of": 5}},
        "limits": {"providers": [limit | {"courtesy": 5}]},
    }
    known = OLD | {"workers": {"max": 7}, "limits": {"providers": [limit]}}
    assert WarmupFleetSpec.stored(newer) == WarmupFleetSpec.stored(known)
    with pytest.raises(ValidationError, match="Extra inputs"):
        WarmupFleetSpec.model_validate(newer)  # a manifest that a person wrote


def test_what_cannot_be_read_is_still_refused() -> None:
    with pytest.raises(ValidationError, match=r"workers\.max"):
        WarmupFleetSpec.stored(OLD | {"workers": {"max": "many"}})
