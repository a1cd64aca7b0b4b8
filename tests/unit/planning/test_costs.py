"""A price list that can be replaced: read whole, or refused with every fault."""

from decimal import Decimal

import pytest

from warmup_core import costs
from warmup_core.costs import Cost
from warmup_core.types import Refused

OURS = """
currency: EUR
machines:
  - {name: large, onDemand: 60.20, workers: 4}
mail: []
mailboxes:
  - {name: own server, perMailbox: 0.05}
"""


def test_a_list_of_ones_own() -> None:
    prices = costs.parse(OURS, "prices.yaml")
    assert prices.currency == "EUR"
    assert costs.bill(prices, workers=5, mails=1_000, mailboxes=200) == (
        Cost("large, on demand", "2 x 60.2", Decimal("120.4"), Decimal("120.4")),
        Cost("own server", "200 mailboxes at 0.05", Decimal("10.00"), Decimal("10.00")),
    )


def test_every_fault_of_a_list_is_told_with_its_place() -> None:
    faulty = """
currency: euros
machines:
  - {name: small, onDemand: -1}
  - {onDemand: cheap, colour: red}
postage: 3
"""
    with pytest.raises(Refused) as refused:
        costs.parse(faulty, "prices.yaml")
    assert refused.value.summary == "prices.yaml is no price list."
    places = [fault.split(":")[0] for fault in refused.value.faults]
    assert places == [
        "currency",
        "machines.0.onDemand",
        "machines.1.name",
        "machines.1.onDemand",
        "machines.1.colour",
        "postage",
    ]


@pytest.mark.parametrize(
    ("text", "word"), [("a: [", "is not YAML"), ("", "no price list"), ("- 1", "no price list")]
)
def test_what_is_no_list_at_all_is_refused(text: str, word: str) -> None:
    with pytest.raises(Refused, match=word):
        costs.parse(text, "prices.yaml")
