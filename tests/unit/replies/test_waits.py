"""How long who waits: the server's time, the period it names, our own schedule; and when a person is told."""

import pytest

from tests.unit.replies.cases import REFUSALS
from warmup_core.replies import Reaction, Scope, classify
from warmup_core.reply_text import plain
from warmup_core.reply_times import seconds_to_wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Relay quota will reset in 21.99 hours", 79_164),
        ("Account will be enabled in 2081 seconds", 2_081),
        ("please come back in 00:02:00", 120),
        ("Greylisted for 5 minutes", 300),
        ("max number of messages (1000) over past 24h reached", 86_400),
        ("max 2 requests per hour", 3_600),
        ("500 emails/hour", 3_600),
        ("too many emails per second", 1),
        ("60 messages/min", 60),
        ("daily limit", 86_400),
        ("too many messages today, try again in 90 minutes", 5_400),
        ("Tageslimit erreicht", 86_400),
        ("in 2 Stunden erneut versuchen", 7_200),
        ("veuillez réessayer dans 10 minutes", 600),
        ("inténtelo de nuevo en 1 hora", 3_600),
        ("riprova tra 30 minuti", 1_800),
        ("tente novamente em 15 minutos", 900),
        ("probeer het over 5 minuten opnieuw", 300),
        ("spróbuj ponownie za 2 godziny", 7_200),
        ("请5分钟后再试", 300),
        ("每日发送上限", 86_400),
        ("10分後に再度お試しください", 600),
        ("1日の上限", 86_400),
    ],
)
def test_a_text_tells_the_time(text: str, seconds: int) -> None:
    assert seconds_to_wait(plain(text)) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "try again later",
        "try again in a few minutes",
        "try again after Sun, 05 Oct 2025 19:22:44 UTC",
        "daily limit exceeded until 2025-10-06",
        "Tageslimit, gesperrt bis 06.10.2025",
        "[PN0PR01CA0024.INDPRD01.PROD.OUTLOOK.COM 2025-01-26T18:54:30.055Z 08DD3DD7D75D7743]",
        "8si123456qtd.62 - gsmtp",
        "请于10月5日后再试",
    ],
)
def test_a_text_without_a_time_or_with_a_date_tells_none(text: str) -> None:
    assert seconds_to_wait(plain(text)) is None


def test_the_servers_time_outweighs_our_schedule() -> None:
    assert classify("rcpt", "451 4.7.1 Greylisted for 5 minutes").wait == 300
    assert classify("after_dot", "550 5.4.5 Sending limit exceeded, try again in 2 hours").wait == 7_200


def test_a_login_that_fails_for_the_moment_waits_a_minute_and_twice_as_long_each_time() -> None:
    waits = [
        classify("auth", "454 4.7.0 Temporary authentication failure", attempt=attempt).wait
        for attempt in range(4)
    ]
    assert waits == [60, 120, 240, 480]


def test_a_temporary_failure_waits_five_minutes_and_three_tenths_more_each_time() -> None:
    waits = [classify("mail", "451 4.3.0 local error", attempt=attempt).wait for attempt in range(3)]
    assert waits == [300, 390, pytest.approx(507)]


def test_no_schedule_passes_a_day() -> None:
    assert classify("mail", "451 4.3.0 local error", attempt=10**6).wait == 86_400


def test_a_servers_time_is_obeyed_up_to_a_week_and_of_a_passing_failure_up_to_a_day() -> None:
    """What a text says is a stranger's: it may be absurd, or the time of something else."""
    absurd = classify("auth", "450 4.3.2 try again in 9999999 days")
    assert (absurd.reaction, absurd.wait) == (Reaction.RETRY, 86_400)
    assert classify("rcpt", "451 4.7.1 try later, quarantined messages are kept 30 days").wait == 86_400
    assert classify("mail", "550 5.4.5 Sending limit exceeded, try again in 3 days").wait == 3 * 86_400
    for reply in (
        "550 5.7.1 limit exceeded, come back in 9999999 days",
        "550 5.7.1 tenant exceeded its limit, wait 9999999 h",
    ):
        assert classify("mail", reply).wait == 7 * 86_400


def test_nobody_is_slowed_by_a_greylist_or_a_used_up_connection() -> None:
    assert classify("rcpt", "450 4.2.0 Greylisted").wait == 0
    assert classify("mail", "421 Max message per connection reached").wait == 0


def test_what_only_a_person_can_mend_has_no_end() -> None:
    for phase, reply in (
        ("auth", "535 5.7.8 Username and Password not accepted"),
        ("rcpt", "550 5.7.1 Service unavailable; client [192.0.2.10] blocked using zen.spamhaus.org"),
        ("after_dot", "550 5.7.26 Unauthenticated email is not accepted due to domain's DMARC policy"),
    ):
        assert classify(phase, reply).wait is None


@pytest.mark.parametrize(
    ("phase", "reply", "scope"),
    [
        ("rcpt", "450 4.1.8 <a@b.example>: Sender address rejected: Domain not found", Scope.DOMAIN),
        ("mail", "451 4.1.8 Domain of sender address a@b.example does not resolve", Scope.DOMAIN),
        ("mail", "451 4.7.23 SPF validation temporary error", Scope.DOMAIN),
        ("after_dot", "451 4.7.20 not this time", Scope.DOMAIN),
        (
            "data",
            "421 Domain b.example is not allowed to send: limit exceeded, try again after 2025-10-06",
            Scope.DOMAIN,
        ),
        ("rcpt", "450 4.7.25 Client host rejected: cannot find your hostname, [192.0.2.10]", Scope.EGRESS),
        ("rcpt", "450 4.7.25 not this time", Scope.EGRESS),
    ],
)
def test_what_a_4xx_stops_for_our_dns_goes_on_after_half_an_hour_and_a_person_is_told(
    phase: str, reply: str, scope: Scope
) -> None:
    """The receiver's resolver may have timed out: Postfix says 450 then, too."""
    verdicts = [classify(phase, reply, attempt=attempt) for attempt in (0, 1, 9)]
    assert {(verdict.scope, verdict.alert) for verdict in verdicts} == {(scope, True)}
    assert [verdict.wait for verdict in verdicts] == [1_800, 3_600, 86_400]
    assert classify(phase, f"550 5{reply[5:]}" if reply[4] == "4" else f"550{reply[3:]}").wait is None


def test_a_4xx_stops_a_domain_for_a_time_only_unless_it_is_our_reputation() -> None:
    for case in REFUSALS:
        verdict = classify(case.phase, case.reply, case.provider)
        if (
            verdict.reaction is Reaction.STOP_DOMAIN
            and case.reply[0] == "4"
            and verdict.rule != "domain-listed"
        ):
            assert verdict.wait is not None, case


@pytest.mark.parametrize(
    "reply",
    ["450 4.1.0 Sender address rejected: not now, later", "450 4.1.1 <a@b.example>: Sender unknown here"],
)
def test_a_4xx_about_our_sender_is_tried_again(reply: str) -> None:
    assert classify("mail", reply).reaction is Reaction.RETRY


def test_a_quota_holds_for_a_day_if_the_server_does_not_say() -> None:
    assert classify("after_dot", "554 5.7.0 Outgoing message limit reached").wait == 86_400


def test_too_many_recipients_is_an_alert_only_where_there_was_one() -> None:
    reply = "452 4.5.3 Your message has too many recipients"
    assert classify("rcpt", reply, single_recipient=True).alert
    assert not classify("rcpt", reply, single_recipient=False).alert
    assert classify("rcpt", reply).reaction is Reaction.RETRY


def test_a_reason_holds_the_text_as_received_on_one_line() -> None:
    verdict = classify(
        "after_dot", "554-5.7.0 Outgoing message limit reached,\r\n554 5.7.0 try again later.\x1b[31m"
    )
    assert "554-5.7.0 Outgoing message limit reached, 554 5.7.0 try again later." in verdict.reason
    assert "\x1b" not in verdict.reason
    assert "\n" not in verdict.reason


def test_one_code_three_remedies() -> None:
    tenant, defaults, password = (
        classify("auth", f"535 5.7.139 Authentication unsuccessful, {text}")
        for text in (
            "SmtpClientAuthentication is disabled for the Tenant.",
            "user is locked by your organization's security defaults policy.",
            "basic authentication is disabled.",
        )
    )
    assert [tenant.reaction, defaults.reaction, password.reaction] == [
        Reaction.PAUSE_TENANT,
        Reaction.PAUSE_TENANT,
        Reaction.PAUSE_MAILBOX_UNTIL_FIXED,
    ]
    assert len({verdict.reason.partition(";")[0] for verdict in (tenant, defaults, password)}) == 3
