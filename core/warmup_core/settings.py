"""The settings a running worker obeys, as they stand in the row of table ``fleet``.

One writer (the operator, or worker 1 outside Kubernetes), many readers; a change reaches every worker with its heartbeat and
restarts nobody. Unknown keys are ignored on reading, so an older worker goes on beside a newer operator.
Fails: a row that this version cannot read raises ValidationError, and the worker keeps its last good settings. Pure.
"""

from datetime import date
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from warmup_core import providers, ramp
from warmup_core.ramp import Linear, NoRamp, Quota, Ramp, Steps, Weekday
from warmup_core.spec import WarmupFleetSpec
from warmup_core.threads import MOST_PERCENT
from warmup_core.types import milliseconds, seconds_of_day


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
    max_concurrent_sends: int = Field(50, ge=1, le=500)
    smtp_allowed_networks: tuple[str, ...] = ()
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

    def quota(self, day: date, progress: int, host: str, override: int | None) -> Quota:
        """What a mailbox at this mail host owes on ``day``; ``progress`` as in ``warmup_core.ramp``."""
        return ramp.quota(
            self.ramp,
            progress,
            day,
            ceiling=self.emails_per_mailbox_per_day,
            days=self.days,
            provider=providers.mailbox_limit(host, self.per_mailbox_per_day_limits),
            override=override,
        )

    def works_on(self, day: date) -> bool:
        """Whether mails are sent on ``day``."""
        return list(Weekday)[day.weekday()] in self.days


def from_spec(spec: WarmupFleetSpec) -> FleetSettings:
    """The settings that a manifest asks for."""
    return FleetSettings(
        emails_per_mailbox_per_day=spec.emails_per_mailbox_per_day,
        ramp_type=spec.ramp.type,
        ramp_start=spec.ramp.start,
        ramp_step=spec.ramp.step,
        ramp_steps=tuple(spec.ramp.steps),
        days=tuple(spec.schedule.days),
        window_from_seconds=seconds_of_day(spec.schedule.from_),
        window_to_seconds=seconds_of_day(spec.schedule.to),
        cooldown_min_ms=milliseconds(spec.pacing.cooldown.min),
        cooldown_max_ms=max(milliseconds(spec.pacing.cooldown.min), milliseconds(spec.pacing.cooldown.max)),
        max_concurrent_sends=spec.workers.max_concurrent_sends,
        smtp_allowed_networks=tuple(spec.smtp.allowed_networks),
        reply_percent=spec.recipients.reply_percent,
        per_minute_limit=spec.limits.per_minute,
        per_hour_limit=spec.limits.per_hour,
        per_worker_per_hour_limit=spec.limits.per_worker_per_hour,
        per_user_per_hour_limit=spec.limits.per_user_per_hour,
        per_domain_per_day_limit=spec.limits.per_domain_per_day,
        per_mailbox_per_day_limits={it.name: it.per_mailbox_per_day for it in spec.limits.providers},
    )
