"""What the API server's refusals are called in the metric of errors."""

import pytest

from warmup_operator.kube import KubernetesError


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (0, "NoAnswer"),
        (409, "Conflict"),
        (429, "TooManyRequests"),
        (500, "InternalServerError"),
        (599, "599"),
    ],
)
def test_an_error_has_one_word(status: int, reason: str) -> None:
    assert KubernetesError(status, "a sentence").reason == reason
