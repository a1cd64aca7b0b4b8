"""The demo's mailboxes: 20 users with 10 each at 4 domains that cannot exist, with passwords that no one could mistake for real.

``python -m demo.mailboxes > examples/mailboxes.csv`` writes the file anew; a test holds the two equal.
"""

import csv
import sys
from collections.abc import Iterable
from typing import TextIO

SERVER = "submission.mail.svc.cluster.local"
DOMAINS = ("tea.example", "coffee.example", "cocoa.example", "juice.example")
USERS = (
    *("ada", "ben", "cleo", "dan", "eve", "finn", "gus", "hana", "ivo", "june"),
    *("kai", "lena", "max", "nora", "otto", "pia", "quin", "rosa", "sam", "tess"),
)
_EACH = 10
_HEADERS = ("email", "user", "smtp_host", "smtp_port", "smtp_security", "password", "display_name")


def rows(
    server: str = SERVER, port: int = 587, users: int = len(USERS), each: int = _EACH
) -> list[tuple[str, ...]]:
    """``users`` times ``each`` mailboxes; each user has them at all domains in turn."""
    return [
        (
            f"{user}.{number}@{DOMAINS[number % len(DOMAINS)]}",
            user,
            server,
            str(port),
            "starttls",
            f"invented-{user}-{number}",
            f"{user.capitalize()} {number}",
        )
        for user in USERS[:users]
        for number in range(1, each + 1)
    ]


def write(file: TextIO, mailboxes: list[tuple[str, ...]]) -> None:
    """Write them as ``warmup mailboxes import`` reads them."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_HEADERS)
    writer.writerows(mailboxes)


def addresses(file: Iterable[str]) -> list[str]:
    """The addresses in such a file."""
    return [row["email"] for row in csv.DictReader(file)]


if __name__ == "__main__":
    write(sys.stdout, rows())
