"""The protocol's time constants as one value, so that a test can shrink all of them together.

Time guards only the soft promises (cooldown, how soon a dead worker's mailboxes go on); no promise about a mail rests on it.
Invariants: 3 x heartbeat < lease, statement < claim < sweep. Fails: ``Refused`` with every relation that does not hold.
"""

import dataclasses
import json
from dataclasses import dataclass

from warmup_core import limits, types
from warmup_core.types import Refused


@dataclass(frozen=True)
class Timing:
    """Seconds, all of them."""

    heartbeat: float = types.HEARTBEAT_SECONDS
    lease: float = types.LEASE_SECONDS
    statement: float = types.STATEMENT_SECONDS
    claim: float = types.CLAIM_SECONDS
    """X: how old a claim may be when the dot is written."""
    claim_to_mail: float = types.CLAIM_TO_MAIL_SECONDS
    sweep: float = types.SWEEP_SECONDS
    """G: how old a dead worker's open intent must be before it is in doubt."""
    reply: float = types.REPLY_SECONDS
    dialogue: float = 30.0
    """The whole dialogue with a server up to the dot, connection included."""
    goodbye: float = 2.0
    """QUIT, which nothing depends on."""
    token: float = limits.TOKEN_SECONDS
    """U: how long after its grant a reserved rate token may be spent."""
    minute: float = limits.MINUTE_SECONDS
    """What the limits a minute, an hour and a day count over."""
    hour: float = limits.HOUR_SECONDS
    day: float = limits.DAY_SECONDS
    gather: float = 0.025
    """How long a batch gathers before it is written."""
    sweep_every: float = 10.0
    reread_every: float = 300.0
    """The slow full reading of the shard, which finds what the feed of changes cannot: deleted rows."""
    hand_back: float = 10.0
    """After SIGTERM: how long a mail may still get to its dot."""
    margin: float = 5.0
    """Kept from the end of the grace for writing the last outcomes."""

    def __post_init__(self) -> None:
        faults = []
        if not 3 * self.heartbeat < self.lease:
            faults.append(f"3 x heartbeat ({self.heartbeat} s) must be less than lease ({self.lease} s)")
        if not self.statement < self.claim:
            faults.append(f"statement ({self.statement} s) must be less than claim ({self.claim} s)")
        if not self.claim < self.sweep:
            faults.append(f"claim ({self.claim} s) must be less than sweep ({self.sweep} s)")
        if faults:
            raise Refused("The time constants contradict each other.", faults)


def parse_timing(text: str) -> Timing:
    """Read ``WARMUP_TIMING``, which exists for tests: a JSON object of seconds by name. Raises Refused."""
    names = {field.name for field in dataclasses.fields(Timing)}
    try:
        given = json.loads(text)
    except ValueError as error:
        raise Refused(f"WARMUP_TIMING is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise Refused("WARMUP_TIMING is not a JSON object of seconds by name.")
    faults = [f"{name!r} is none of {sorted(names)}" for name in given if name not in names]
    faults += [
        f"{name} is not a positive number of seconds: {seconds!r}"
        for name, seconds in given.items()
        if not isinstance(seconds, (int, float)) or isinstance(seconds, bool) or seconds <= 0
    ]
    if faults:
        raise Refused("WARMUP_TIMING cannot be used.", faults)
    return Timing(**{name: float(seconds) for name, seconds in given.items()})
