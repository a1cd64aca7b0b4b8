"""``python -m bench.content``: what rendering a mail costs, and how large mails are. The budget is 0.05 ms of CPU a mail.

Beside it, in the same moment, what Python's own EmailMessage takes to write such a mail: on a busy machine both are slower.
"""

import email.policy
import statistics
import time
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage

from warmup_worker.answering import Thread
from warmup_worker.claiming import Claim
from warmup_worker.content import compose
from warmup_worker.wording import built_in

_MAILS = 5000
_ROUNDS = 5
_A_SECOND = 35
"""Mails that have the same Date: a fleet of 100,000 mailboxes sends about as many a second."""
_NAMES = ("Ada Tea", "Jürgen Müller", "", "Zoë Łąka", "Li Wei")


def claims(round_number: int) -> list[Claim]:
    """Mails to as many recipients as there are mails, others in each round, each second later; three of ten are answers."""
    day, at = date(2026, 11, 25), datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    numbers = range(round_number * _MAILS, (round_number + 1) * _MAILS)
    return [
        Claim(
            n % 2000,
            n,
            day,
            0,
            at + timedelta(seconds=n // _A_SECOND),
            n,
            f"box{n}@domain{n % 997}.example",
            _NAMES[n % len(_NAMES)],
            0,
            0.0,
            Thread(n, n + 1, n, 2) if n % 10 < 3 else None,
        )
        for n in numbers
    ]


def with_email_message(number: int) -> bytes:
    """A mail of about the same size, by the standard library."""
    made = EmailMessage(policy=email.policy.SMTP)
    made["From"], made["To"] = "Ana Sá <ana@sender.example>", f"box{number}@domain.example"
    made["Subject"], made["Message-ID"] = "Kurze Frage: für nächste Woche", f"<{number}@sender.example>"
    made.set_content("Guten Morgen,\n\nein Satz über die nächste Woche, wie man ihn schreibt.\n" * 6)
    return made.as_bytes()


def main() -> None:
    """Print the median of five rounds and their range."""
    templates = built_in()
    figures = []
    sizes: list[int] = []
    for round_number in range(_ROUNDS):
        batch = claims(round_number)
        started = time.process_time()
        mails = [
            compose(it, f"a{it.mailbox_id}@sender.example", "Ana Sá", "t0ken", templates) for it in batch
        ]
        figures.append((time.process_time() - started) / _MAILS * 1000)
        sizes += [len(mail.message) for mail in mails]
    started = time.process_time()
    for number in range(200):
        with_email_message(number)
    standard = (time.process_time() - started) / 200 * 1000
    print(f"EmailMessage.as_bytes: milliseconds_a_mail={standard:.3f}")
    print(f"bytes a mail: mean {statistics.mean(sizes):.0f}, largest {max(sizes)}")
    print(
        f"content: milliseconds_a_mail={statistics.median(figures):.4f} range={min(figures):.4f}..{max(figures):.4f}"
    )


if __name__ == "__main__":
    main()
