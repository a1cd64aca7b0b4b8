"""What a fleet costs a month: machines, mails through a provider, hosted mailboxes; by a price list that the user can replace.

The list is YAML in the form of ``cli/warmup_cli/costs.yaml``. Pure: text in, money out, in ``Decimal`` and the list's currency.
Fails: ``Refused`` with every fault of the list and its place.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from warmup_core.types import Refused

Price = Annotated[Decimal, Field(ge=0, le=1_000_000)]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class _Model(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, validate_by_alias=True, extra="forbid", frozen=True)


class Machine(_Model):
    """A machine a month; ``spot`` where it can be had for less and taken back. ``workers``: how many run on one."""

    name: Name
    on_demand: Price
    spot: Price | None = None
    workers: int = Field(1, ge=1, le=1000)


class MailPrice(_Model):
    """What a provider takes for 1,000 mails; ``most`` where it is a range."""

    name: Name
    per_thousand: Price
    most_per_thousand: Price | None = None


class MailboxPrice(_Model):
    """What a hosted mailbox costs a month."""

    name: Name
    per_mailbox: Price


class PriceList(_Model):
    """All prices, in one currency."""

    currency: str = Field(pattern=r"^[A-Z]{3}$")
    machines: tuple[Machine, ...] = ()
    mail: tuple[MailPrice, ...] = ()
    mailboxes: tuple[MailboxPrice, ...] = ()


NO_PRICES: Final = PriceList(currency="XXX")
"""For who asks for no bill."""


@dataclass(frozen=True)
class Cost:
    """A line of the bill for a month: one way to have it. ``most`` differs where the price is a range."""

    name: str
    basis: str
    least: Decimal
    most: Decimal


def parse(text: str, name: str) -> PriceList:
    """A price list from YAML; ``name`` is what messages call it. Raises Refused."""
    try:
        found: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise Refused(f"{name} is not YAML.", [" ".join(str(error).split())]) from None
    try:
        return PriceList.model_validate(found)
    except ValidationError as error:
        faults = [
            ": ".join([".".join(map(str, it["loc"])) or "the list", it["msg"]]) for it in error.errors()
        ]
        raise Refused(f"{name} is no price list.", faults) from None


def bill(prices: PriceList, *, workers: int, mails: int, mailboxes: int) -> tuple[Cost, ...]:
    """Every line for a month: so many workers, mails a month, mailboxes."""
    lines = []
    for machine in prices.machines:
        count = -(-workers // machine.workers)
        lines.append(
            _cost(f"{machine.name}, on demand", f"{count} x {machine.on_demand}", count * machine.on_demand)
        )
        if machine.spot is not None:
            lines.append(_cost(f"{machine.name}, spot", f"{count} x {machine.spot}", count * machine.spot))
    for mail in prices.mail:
        most = mail.per_thousand if mail.most_per_thousand is None else mail.most_per_thousand
        price = f"{mail.per_thousand}" if most == mail.per_thousand else f"{mail.per_thousand} to {most}"
        basis = f"{mails} mails at {price} per 1,000"
        lines.append(_cost(mail.name, basis, mails * mail.per_thousand / 1000, mails * most / 1000))
    for mailbox in prices.mailboxes:
        basis = f"{mailboxes} mailboxes at {mailbox.per_mailbox}"
        lines.append(_cost(mailbox.name, basis, mailboxes * mailbox.per_mailbox))
    return tuple(lines)


def _cost(name: str, basis: str, least: Decimal, most: Decimal | None = None) -> Cost:
    return Cost(name, basis, least, least if most is None else most)
