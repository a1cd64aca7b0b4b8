"""The status of a WarmupFleet as pydantic models, each field with its sentence; what the operator writes and ``kubectl`` shows.

The spec's models stand in ``warmup_core.spec``; both make the CRD (``warmup_core.crd``). Integers, no floats. Pure.
"""

from typing import Literal

from pydantic import Field

from warmup_core.spec_model import Model


class Condition(Model):
    """One condition, in the shape of metav1.Condition."""

    type: str = Field(
        description="Name of the condition: Ready, QuotaFeasible, DatabaseReachable, Resizing, Paused or Degraded."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether the condition holds.")
    reason: str = Field(description="One word from the closed set in docs/reference.md.")
    message: str = Field(description="A sentence for a person: what is so, and what to do.")
    last_transition_time: str = Field(
        description="When the status last turned, RFC 3339.", json_schema_extra={"format": "date-time"}
    )
    observed_generation: int = Field(description="Generation of the spec that the condition speaks of.")


class WorkersStatus(Model):
    """How many workers there are."""

    summary: str = Field(description="Live workers of wanted ones, such as 50/50.")
    wanted: int = Field(description="Workers the fleet should have.")
    ready: int = Field(description="Pods that are ready.")
    replicas: int = Field(description="Pods that exist, as the scale subresource reads it.")


class SizingStatus(Model):
    """How many workers the fleet should have, and why."""

    by: str = Field(description="The term that decides: Mailboxes, Mails, Min, Max or Fixed.")
    wanted: int = Field(description="Workers by that term; status.workers.wanted follows when it may.")
    demand_per_day: int = Field(description="Mails that today's quotas ask for.")
    capacity_per_worker: int = Field(
        description="Mails that one worker can send a day: as measured, before that as its settings allow."
    )
    reason: str = Field(
        description="The figures behind the term, what a change waits for, and what the cheaper choice would be."
    )


class HeldReason(Model):
    """One reason for which mailboxes wait."""

    reason: str = Field(
        description="The rule, as `warmup replies explain` names it, or the phase that failed."
    )
    mailboxes: int = Field(description="Active mailboxes that wait for it.")
    words: str = Field(description="What was said to one of them, and to whom it applies.")


class MailboxesStatus(Model):
    """How many mailboxes are enrolled, and why some do not send."""

    total: int = Field(description="Mailboxes enrolled.")
    active: int = Field(description="Mailboxes that take part.")
    paused: int = Field(0, description="Active mailboxes that wait for a reason below.")
    unowned: int = Field(0, description="Active mailboxes without a live owner: nobody sends for them now.")
    top_reasons: list[HeldReason] = Field(
        default_factory=list, description="Why mailboxes wait, the ten reasons that hold most of them."
    )


class TodayStatus(Model):
    """Today's account: due = sent + inDoubt + inFlight + scheduled + deferred + skipped."""

    day: str = Field(description="The quota's day in the fleet's time zone.")
    due: int = Field(description="Mails that today's quotas ask for.")
    sent: int = Field(description="Mails accepted by the submission servers.")
    in_doubt: int = Field(description="Mails whose fate the ledger cannot tell; never sent again.")
    in_flight: int = Field(description="Mails claimed and not yet settled.")
    scheduled: int = Field(description="Mails still to come today.")
    deferred: int = Field(description="Mails held back by a fault that the mailbox names.")
    skipped: int = Field(
        description="Mails that today will not see: the window is over, or nobody can send them."
    )
    behind: int = Field(description="Mails that should have been sent by now and were not.")


class WarmupFleetStatus(Model):
    """What is."""

    observed_generation: int | None = Field(
        None, description="Generation of the spec that this status speaks of."
    )
    selector: str | None = Field(
        None, description="Label selector of the worker pods, for the scale subresource."
    )
    epoch: int | None = Field(None, description="Epoch of the ownership; each resize raises it.")
    message: str | None = Field(None, description="Message of the Ready condition.")
    workers: WorkersStatus | None = Field(None, description="The workers.")
    sizing: SizingStatus | None = Field(None, description="How many workers the fleet should have, and why.")
    mailboxes: MailboxesStatus | None = Field(None, description="The mailboxes.")
    today: TodayStatus | None = Field(None, description="Today's account.")
    yesterday: str | None = Field(None, description="How much of yesterday's quotas was sent, rounded down.")
    conditions: list[Condition] | None = Field(None, description="What holds of the fleet, one of each type.")
