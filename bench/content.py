"""``python -m bench.content``: what rendering a mail costs, and how large mails are. The budget is 0.05 ms of CPU a mail."""

import statistics
import time
from datetime import UTC, date, datetime

from warmup_worker.answering import Thread
from warmup_worker.claiming import Claim
from warmup_worker.content import compose
from warmup_worker.wording import built_in

_MAILS = 5000
_ROUNDS = 5
_NAMES = ("Ada Tea", "Jürgen Müller", "", "Zoë Łąka", "Li Wei")


def claims(round_number: int) -> list[Claim]:
    """Mails to as many recipients as there are mails; three of ten are answers."""
    day, at = date(2026, 11, 25), datetime(2026, 11, 25, 9, 30, tzinfo=UTC)
    return [
        Claim(
            n % 2000,
            n + round_number * _MAILS,
            day,
            0,
            at,
            n,
            f"box{n}@domain{n % 997}.example",
            _NAMES[n % len(_NAMES)],
            0,
            0.0,
            Thread(n, n + 1, n, 2) if n % 10 < 3 else None,
        )
        for n in range(_MAILS)
    ]


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
    print(f"bytes a mail: mean {statistics.mean(sizes):.0f}, largest {max(sizes)}")
    print(
        f"content: milliseconds_a_mail={statistics.median(figures):.4f} range={min(figures):.4f}..{max(figures):.4f}"
    )


if __name__ == "__main__":
    main()
