"""The pauses that a worker knows: the stronger stays, what opens wakes those who wait, a slowed scope is a queue."""

from tests.unit.worker.test_shard import ENROLMENT
from tests.unit.worker.test_shard import row as read
from warmup_core.replies import Scope
from warmup_worker.mailbox import Mailbox
from warmup_worker.pauses import Pauses
from warmup_worker.pausing import PauseRow
from warmup_worker.reactions import Pause


def mailbox(number: int, host: str = "smtp.example", application: str | None = None) -> Mailbox:
    enrolment = ENROLMENT._replace(
        id=number, address=f"m{number}@one.example", smtp_host=host, application=application
    )
    return Mailbox(read(number, enrolment=enrolment))


def heard(seconds: float | None, per_minute: int | None = None, attempt: int = 0) -> Pause:
    return Pause(Scope.PROVIDER, "smtp.example", seconds, per_minute, attempt, "rate", "because")


def row(until: float | None, per_minute: int | None = None) -> PauseRow:
    return PauseRow(Scope.PROVIDER, "smtp.example", until, per_minute, 0, "rate", 0.0)


def test_a_stop_holds_its_scope_and_nobody_else() -> None:
    pauses = Pauses()
    assert pauses.begin(heard(60), now=100)
    held = pauses.holding(mailbox(1), 159, workers=1)
    assert held is not None
    assert (held.gate, held.rule, held.at) == ((Scope.PROVIDER, "smtp.example"), "rate", 160)
    assert pauses.holding(mailbox(1, "smtp.other"), 159, workers=1) is None
    assert pauses.holding(mailbox(1), 160, workers=1) is None


def test_a_weaker_pause_changes_nothing() -> None:
    pauses = Pauses()
    pauses.begin(heard(None), now=0)
    assert not pauses.begin(heard(60), now=1)
    assert not pauses.begin(heard(9999, per_minute=10), now=1)
    held = pauses.holding(mailbox(1), 5000, workers=1)
    assert held is not None
    assert held.at is None


def test_what_is_lifted_or_softened_or_gone_is_told() -> None:
    gate = (Scope.PROVIDER, "smtp.example")
    pauses = Pauses()
    assert pauses.take_in([row(None)], 0, whole=True) == set()
    assert pauses.take_in([row(500)], 1, whole=False) == {gate}
    assert pauses.take_in([row(900)], 2, whole=False) == set()
    assert pauses.take_in([], 3, whole=False) == set()
    assert pauses.take_in([], 3, whole=True) == {gate}
    assert pauses.holding(mailbox(1), 4, workers=1) is None


def test_a_slowed_scope_lets_one_after_the_other_through_at_this_workers_share() -> None:
    pauses = Pauses()
    pauses.begin(heard(3600, per_minute=10), now=0)
    places = [pauses.holding(mailbox(number), 0, workers=2) for number in range(4)]
    assert places[0] is None
    assert [it.at for it in places[1:] if it] == [12, 24, 36]
    assert pauses.holding(mailbox(2), 23, workers=2) is not None
    assert pauses.holding(mailbox(2), 24, workers=2) is None
    again = pauses.holding(mailbox(2), 24, workers=2)
    assert again is not None
    assert again.at == 48


def test_a_pause_that_comes_back_is_a_further_attempt() -> None:
    pauses = Pauses()
    pauses.begin(heard(60), now=0)
    assert pauses.attempt(Scope.PROVIDER, "smtp.example", "rate", 30) == 0
    assert pauses.attempt(Scope.PROVIDER, "smtp.example", "rate", 61) == 1
    assert pauses.attempt(Scope.PROVIDER, "smtp.example", "quota", 61) == 0
    assert pauses.attempt(Scope.PROVIDER, "smtp.example", "rate", 60 + 7 * 3600) == 0


def test_an_applications_pause_holds_its_mailboxes_alone() -> None:
    pauses = Pauses()
    pauses.begin(Pause(Scope.APPLICATION, "google", 60.0, None, 0, "oauth-application", "refused"), 100.0)
    assert pauses.stops(Scope.APPLICATION, "google", 159.0)
    assert not pauses.stops(Scope.APPLICATION, "google", 161.0)
    assert not pauses.stops(Scope.APPLICATION, "other", 101.0)
    assert pauses.holding(mailbox(1), 101.0, 1) is None
    assert pauses.holding(mailbox(2, application="other"), 101.0, 1) is None
    held = pauses.holding(mailbox(3, application="google"), 101.0, 1)
    assert held is not None
    assert (held.gate, held.rule, held.at) == ((Scope.APPLICATION, "google"), "oauth-application", 160.0)
