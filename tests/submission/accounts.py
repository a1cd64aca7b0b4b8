"""Who may log in: functions from (login, password or token) to the address this login may send as, or None."""

import csv
import hmac
from collections.abc import Callable, Mapping
from pathlib import Path

Accounts = Callable[[str, str], str | None]


def table(passwords: Mapping[str, str]) -> Accounts:
    """Each login is an address with a password of its own. The mapping may change while the server runs."""

    def check(login: str, password: str) -> str | None:
        known = passwords.get(login)
        return login if known is not None and _same(known, password) else None

    return check


def derived(password_of: Callable[[str], str]) -> Accounts:
    """Every address may log in with the password that the function gives it."""
    return lambda login, password: login if _same(password_of(login), password) else None


def from_csv(path: Path) -> Accounts:
    """The accounts of a mailbox file: columns email, password, and username where it differs."""
    known: dict[str, tuple[str, str]] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for row in csv.DictReader(file):
            known[row.get("username") or row["email"]] = (row["password"], row["email"])

    def check(login: str, password: str) -> str | None:
        expected, address = known.get(login, ("", None))
        return address if address and _same(expected, password) else None

    return check


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode())
