"""Which days a restored database cannot know, and until when nothing is sent."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from warmup_core.restored import unknown

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)
TODAY, YESTERDAY = date(2026, 11, 26), date(2026, 11, 25)


@pytest.mark.parametrize(
    ("since", "days"),
    [
        (datetime(2026, 11, 26, 11, 59, tzinfo=UTC), (TODAY,)),
        (datetime(2026, 11, 25, 22, 59, tzinfo=UTC), (YESTERDAY, TODAY)),
        (datetime(2026, 11, 25, 23, 0, tzinfo=UTC), (TODAY,)),
        (datetime(2026, 11, 1, tzinfo=UTC), (YESTERDAY, TODAY)),
        (datetime(2026, 11, 28, tzinfo=UTC), (TODAY,)),
        (None, (YESTERDAY, TODAY)),
    ],
)
def test_the_days_are_the_fleets_and_no_older_than_yesterday(
    since: datetime | None, days: tuple[date, ...]
) -> None:
    found = unknown(since, NOON, BERLIN)
    assert found.days == days
    assert found.resumes == datetime(2026, 11, 26, 23, tzinfo=UTC)


def test_an_hour_passes_before_mails_go_out_again() -> None:
    """A limit an hour may have been spent to the last token just before."""
    late = datetime(2026, 11, 26, 22, 40, tzinfo=UTC)
    assert unknown(late, late, BERLIN).resumes == datetime(2026, 11, 26, 23, 40, tzinfo=UTC)
