"""The protocol's time constants as one value, so that a test can shrink all of them together.

Time guards only the soft promises (cooldown, how soon a dead worker's mailboxes go on); no promise about a mail rests on it.
Invariants: 3 x heartbeat < lease, statement < claim < sweep, refresh + statement < refresh_lease. Fails: ``Refused`` with every
relation that does not hold.
"""

from dataclasses import dataclass

from warmup_core import limits, timing, types
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
    refresh: float = 10.0
    """An OAuth token endpoint's answer."""
    refresh_lease: float = 30.0
    """How long one process has the right to refresh a mailbox's tokens."""
    application_wait: float = 60.0
    """Until an OAuth application that was refused is tried again."""
    goodbye: float = 2.0
    """QUIT, which nothing depends on."""
    token: float = limits.TOKEN_SECONDS
    """U: how long after its grant a reserved rate token may be spent."""
    minute: float = limits.MINUTE_SECONDS
    """What the limits a minute, an hour and a day count over."""
    hour: float = limits.HOUR_SECONDS
    day: float = limits.DAY_SECONDS
    calm: float = 300.0
    """How long a process has its number before another that is started under it may take over."""
    gather: float = 0.2
    """How long a batch of claims gathers at most before it is written; one of outcomes, which nobody waits for, twice as long."""
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
        if not self.refresh + self.statement < self.refresh_lease:
            faults.append(
                f"refresh + statement ({self.refresh + self.statement} s) must be less than refresh_lease"
                f" ({self.refresh_lease} s)"
            )
        if not self.statement < self.claim:
            faults.append(f"statement ({self.statement} s) must be less than claim ({self.claim} s)")
        if not self.claim < self.sweep:
            faults.append(f"claim ({self.claim} s) must be less than sweep ({self.sweep} s)")
        if faults:
            raise Refused("The time constants contradict each other.", faults)


def parse_timing(text: str) -> Timing:
    """Read ``WARMUP_TIMING``. Raises Refused."""
    return timing.parse(text, Timing)
