"""Every kind of lie is caught, whoever tells it: the server, the ledger, or nobody at all."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from demo.accounting import Acceptance, Account, LedgerMail, account, parse_ledger
from warmup_core.types import MailState

SENT, IN_DOUBT, FAILED, INTENT = MailState.SENT, MailState.IN_DOUBT, MailState.FAILED, MailState.INTENT


class World:
    """A demo in which all went well, with some failures (given back, then sent) and some doubts."""

    def __init__(self, mailboxes: int, quota: int, doubts: set[int], failures: int) -> None:
        self.quotas = {f"m{number}@tea.example": quota for number in range(mailboxes)}
        self.log: list[Acceptance] = []
        self.ledger: list[LedgerMail] = []
        senders = [address for address in self.quotas for _ in range(quota)]
        for number, sender in enumerate(senders):
            name, recipient = f"<20261125.{number}.t@tea.example>", f"to-{number}@tea.example"
            doubtful = number in doubts
            self.ledger.append(
                LedgerMail(name, sender, recipient, IN_DOUBT if doubtful else SENT, 1 + number % 2)
            )
            if not doubtful or number % 2:
                self.log.append(Acceptance(name, sender, (recipient,)))
        for number in range(failures):
            self.ledger.append(
                LedgerMail(f"<20261125.9{number}.t@x>", "m0@tea.example", "x@tea.example", FAILED, 1)
            )

    def account(self) -> Account:
        return account(self.log, self.ledger, self.quotas)

    def index_of(self, state: MailState) -> int:
        return next(number for number, row in enumerate(self.ledger) if row.state is state)


def one_sent_at_least(world: World) -> bool:
    return any(row.state is SENT for row in world.ledger)


worlds = st.builds(
    World,
    mailboxes=st.integers(1, 8),
    quota=st.integers(1, 4),
    doubts=st.sets(st.integers(0, 31), max_size=3),
    failures=st.integers(0, 3),
).filter(one_sent_at_least)


@given(worlds)
def test_a_demo_that_went_well_is_complete(world: World) -> None:
    result = world.account()
    assert result.complete
    assert result.discrepancies == ()
    assert result.sent + result.in_doubt == result.due == sum(world.quotas.values())
    assert (result.duplicates, result.lost) == (0, 0)


@given(worlds, st.data())
def test_a_mail_accepted_twice_is_a_duplicate(world: World, data: st.DataObject) -> None:
    if world.log:
        again = data.draw(st.sampled_from(world.log))
        sent = world.account().sent
        world.log.insert(data.draw(st.integers(0, len(world.log))), again)
        result = world.account()
        assert (result.duplicates, result.sent, result.complete) == (1, sent, False)


@given(worlds)
def test_a_row_that_says_sent_without_an_acceptance_is_lost(world: World) -> None:
    row = world.ledger[world.index_of(SENT)]
    world.log = [each for each in world.log if each.message_id != row.message_id]
    result = world.account()
    assert not result.complete
    assert result.lost == 2  # the claim of the row, and the mail that is due
    assert any("never accepted" in line for line in result.discrepancies)


@given(worlds)
def test_an_acceptance_without_a_row_is_lost(world: World) -> None:
    row = world.ledger.pop(world.index_of(SENT))
    result = world.account()
    assert (result.complete, result.lost) == (False, 1)
    assert result.discrepancies == (f"{row.message_id}: accepted, but no row stands for it",)


@given(worlds, st.sampled_from([FAILED, INTENT]))
def test_an_acceptance_whose_row_denies_it_is_lost(world: World, state: MailState) -> None:
    number = world.index_of(SENT)
    world.ledger[number] = replace(world.ledger[number], state=state)
    result = world.account()
    assert (result.complete, result.lost) == (False, 1)


@given(worlds)
def test_a_mail_that_is_due_and_nowhere_is_lost(world: World) -> None:
    row = world.ledger.pop(world.index_of(SENT))
    world.log = [each for each in world.log if each.message_id != row.message_id]
    result = world.account()
    assert (result.complete, result.lost) == (False, 1)
    assert row.sender in result.discrepancies[0]


@given(worlds)
def test_an_open_intent_is_neither_sent_nor_in_doubt(world: World) -> None:
    number = world.index_of(SENT)
    row = world.ledger[number] = replace(world.ledger[number], state=INTENT)
    world.log = [each for each in world.log if each.message_id != row.message_id]
    assert world.account().lost == 1


@given(worlds)
def test_a_mailbox_over_its_quota_is_named(world: World) -> None:
    extra = LedgerMail("<20261125.777.t@tea.example>", "m0@tea.example", "x@tea.example", SENT, 1)
    world.ledger.append(extra)
    world.log.append(Acceptance(extra.message_id, extra.sender, (extra.recipient,)))
    result = world.account()
    assert not result.complete
    assert any("over the quota" in line for line in result.discrepancies)


@given(worlds)
def test_one_mailbox_cannot_send_for_another(world: World) -> None:
    stranger = LedgerMail("<20261125.777.t@tea.example>", "stranger@tea.example", "x@tea.example", SENT, 1)
    gone = world.ledger.pop(world.index_of(SENT))
    world.ledger.append(stranger)
    world.log = [each for each in world.log if each.message_id != gone.message_id]
    world.log.append(Acceptance(stranger.message_id, stranger.sender, (stranger.recipient,)))
    result = world.account()
    assert result.sent + result.in_doubt == result.due
    assert not result.complete


@given(worlds, st.booleans())
def test_a_wrong_sender_or_recipient_is_named(world: World, sender: bool) -> None:
    name = world.ledger[world.index_of(SENT)].message_id
    number = next(number for number, each in enumerate(world.log) if each.message_id == name)
    wrong = {"sender": "other@tea.example"} if sender else {"recipients": ("other@tea.example",)}
    world.log[number] = replace(world.log[number], **wrong)
    result = world.account()
    assert not result.complete
    assert any("but its row says from" in line for line in result.discrepancies)


@given(worlds)
def test_a_mail_without_a_message_id_is_lost_and_counted(world: World) -> None:
    before = world.account().sent
    world.log.append(Acceptance(None, "m0@tea.example", ("m1@tea.example",)))
    result = world.account()
    assert (result.sent, result.lost, result.complete) == (before + 1, 1, False)


@given(worlds)
def test_two_rows_of_one_name_are_named(world: World) -> None:
    world.ledger.append(world.ledger[world.index_of(SENT)])
    assert not world.account().complete


def test_nothing_sent_is_all_lost() -> None:
    result = account([], [], {"a@tea.example": 3, "b@tea.example": 3})
    assert (result.due, result.sent, result.lost, result.complete) == (6, 0, 6, False)


def test_the_last_line_is_the_one_that_is_promised() -> None:
    result = Account(200, 600, 600, 0, 0, 0, 2, ())
    assert result.complete
    assert (
        result.line("demo", 171.6)
        == "demo: mailboxes=200 due=600 sent=600 in_doubt=0 duplicates=0 lost=0 workers=2 seconds=172"
    )


def test_the_ledger_names_its_mails_as_the_worker_does() -> None:
    text = (
        '[{"day": "2026-11-25", "id": 7, "token": "t0k", "state": "sent", "worker": 2,'
        ' "sender": "a@tea.example", "recipient": "b@juice.example"}]'
    )
    assert parse_ledger(text) == [
        LedgerMail("<20261125.7.t0k@tea.example>", "a@tea.example", "b@juice.example", SENT, 2)
    ]
