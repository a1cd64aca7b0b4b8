"""The settings a running worker obeys, as they stand in the row of table ``fleet``.

One writer (the operator, or worker 1 outside Kubernetes), many readers; a change reaches every worker with its heartbeat and
restarts nobody. Unknown keys are ignored on reading, so an older worker goes on beside a newer operator.
Fails: a row that this version cannot read raises ValidationError, and a worker claims nothing under it. Pure.
"""

from collections.abc import Collection
from datetime import date, timedelta
from typing import Literal, Self
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

from warmup_core import providers, ramp
from warmup_core.hours import Hours
from warmup_core.ramp import Linear, NoRamp, Quota, Ramp, Steps, Weekday
from warmup_core.spec import WarmupFleetSpec
from warmup_core.threads import MOST_PERCENT
from warmup_core.types import MOST_CONCURRENT_SENDS, end_of_window, milliseconds, seconds_of_day


class FleetSettings(BaseModel):
    """Everything about sending that may change while workers run."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    emails_per_mailbox_per_day: int = Field(30, ge=1, le=2000)
    ramp_type: Literal["Linear", "Steps", "None"] = "Linear"
    ramp_start: int = Field(2, ge=1, le=2000)
    ramp_step: int = Field(2, ge=0, le=2000)
    ramp_steps: tuple[int, ...] = ()
    days: tuple[Weekday, ...] = tuple(Weekday)
    window_from_seconds: int = Field(0, ge=0, lt=86_400)
    window_to_seconds: int = Field(86_400, gt=0, le=86_400)
    cooldown_min_ms: int = Field(120_000, ge=0)
    cooldown_max_ms: int = Field(300_000, ge=0)
    pacing_mode: Literal["Continuous", "Interval"] = "Continuous"
    interval_ms: int = Field(600_000, ge=1)
    interval_batch: int = Field(200, ge=1)
    batch_delay_ms: int = Field(2_000, ge=0)
    stagger_min_ms: int = Field(500, ge=0)
    stagger_max_ms: int = Field(2_000, ge=0)
    max_concurrent_sends: int = Field(50, ge=1, le=MOST_CONCURRENT_SENDS)
    smtp_allowed_networks: tuple[str, ...] = ()
    max_connections: int = Field(150, ge=1)
    """Of the whole fleet to its database; a worker's share is ``warmup_core.connections.of_worker``."""
    reply_percent: int = Field(30, ge=0, le=MOST_PERCENT)
    per_minute_limit: int | None = Field(2500, ge=1)
    per_hour_limit: int | None = Field(150_000, ge=1)
    per_worker_per_hour_limit: int | None = Field(None, ge=1)
    per_user_per_hour_limit: int | None = Field(None, ge=1)
    per_domain_per_day_limit: int | None = Field(None, ge=1)
    per_mailbox_per_day_limits: dict[str, int] = Field({"gmail": 500})
    """By the name of the provider."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        _ = self.ramp  # raises ValueError for a ramp that falls
        return self

    @property
    def ramp(self) -> Ramp:
        """How many mails a mailbox owes as its days go by."""
        match self.ramp_type:
            case "Linear":
                return Linear(self.ramp_start, self.ramp_step)
            case "Steps":
                return Steps(self.ramp_steps)
        return NoRamp()

    def hours(self, zone: str) -> Hours:
        """When a mailbox may send that says nothing for itself, in a fleet of this zone."""
        return Hours(ZoneInfo(zone), self.window_from_seconds, self.window_to_seconds, frozenset(self.days))

    def quota(
        self,
        day: date,
        progress: int,
        host: str,
        override: int | None,
        days: Collection[Weekday] | None = None,
    ) -> Quota:
        """What a mailbox at this mail host owes in the window that opens on ``day``; ``progress`` as in ``warmup_core.ramp``.

        ``days``: its own working days, where it has some.
        """
        return ramp.quota(
            self.ramp,
            progress,
            day,
            ceiling=self.emails_per_mailbox_per_day,
            days=self.days if days is None else days,
            provider=providers.mailbox_limit(host, self.per_mailbox_per_day_limits),
            override=override,
        )

    @property
    def window_length(self) -> timedelta:
        """How long the window is on a day without a change of the clock; its end may lie on the next day."""
        seconds = (self.window_to_seconds - self.window_from_seconds) % 86_400
        return timedelta(seconds=seconds or 86_400)


def from_spec(spec: WarmupFleetSpec) -> FleetSettings:
    """The settings that a manifest asks for."""
    interval = spec.pacing.interval
    return FleetSettings(
        emails_per_mailbox_per_day=spec.emails_per_mailbox_per_day,
        ramp_type=spec.ramp.type,
        ramp_start=spec.ramp.start,
        ramp_step=spec.ramp.step,
        ramp_steps=tuple(spec.ramp.steps),
        days=tuple(spec.schedule.days),
        window_from_seconds=seconds_of_day(spec.schedule.from_),
        window_to_seconds=end_of_window(spec.schedule.to),
        cooldown_min_ms=milliseconds(spec.pacing.cooldown.min),
        cooldown_max_ms=max(milliseconds(spec.pacing.cooldown.min), milliseconds(spec.pacing.cooldown.max)),
        pacing_mode=spec.pacing.mode,
        interval_ms=milliseconds(interval.every),
        interval_batch=interval.batch_size,
        batch_delay_ms=milliseconds(interval.batch_delay),
        stagger_min_ms=milliseconds(interval.stagger.min),
        stagger_max_ms=max(milliseconds(interval.stagger.min), milliseconds(interval.stagger.max)),
        max_concurrent_sends=spec.workers.max_concurrent_sends,
        smtp_allowed_networks=tuple(spec.smtp.allowed_networks),
        max_connections=spec.database.max_connections,
        reply_percent=spec.recipients.reply_percent,
        per_minute_limit=spec.limits.per_minute,
        per_hour_limit=spec.limits.per_hour,
        per_worker_per_hour_limit=spec.limits.per_worker_per_hour,
        per_user_per_hour_limit=spec.limits.per_user_per_hour,
        per_domain_per_day_limit=spec.limits.per_domain_per_day,
        per_mailbox_per_day_limits={it.name: it.per_mailbox_per_day for it in spec.limits.providers},
    )
