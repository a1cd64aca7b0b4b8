"""The examples are what they say: the file is the generator's, the manifest is one that the API server would take."""

import io
from pathlib import Path

import yaml

from demo import mailboxes
from warmup_core import capacity, enrolment, settings, sizing
from warmup_core.sizing import Need, Rules
from warmup_core.spec import WarmupFleetSpec

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_mailboxes_are_the_generators_and_can_be_enrolled() -> None:
    text = (EXAMPLES / "mailboxes.csv").read_text()
    made = io.StringIO()
    mailboxes.write(made, mailboxes.rows())
    assert text == made.getvalue()
    file = enrolment.parse(text.encode())
    assert enrolment.plan(file, {}).added
    assert file.ignored == []
    assert len(file.rows) == 200
    assert len({row.user for row in file.rows}) == 20
    domains = {row.email.partition("@")[2] for row in file.rows}
    assert len(domains) == 4
    assert all(domain.endswith(".example") for domain in domains)


def test_the_fleet_is_valid_and_wants_two_workers() -> None:
    manifest = yaml.safe_load((EXAMPLES / "fleet.yaml").read_text())
    spec = WarmupFleetSpec.model_validate(manifest["spec"])
    worker = capacity.of_settings(settings.from_spec(spec), None)
    rules = Rules.of(spec.workers)
    assert sizing.terms(Need(200, 600, worker.mails), rules, rules.headroom_percent).wanted == 2
    assert spec.emails_per_mailbox_per_day == 3
