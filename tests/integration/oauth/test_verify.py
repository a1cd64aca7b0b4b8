"""``warmup mailboxes verify``: a real process that logs in as a worker would, sends nothing, and tells what it saw."""

import asyncio
import json
from dataclasses import asdict
from pathlib import Path

from tests.command import Done, warmup
from tests.integration.oauth.fleet import OAuthFleet
from tests.integration.worker.fleet import EAGER, KEY_LINE, PATIENT
from tests.submission.authority import Authority
from tests.submission.faults import Step, refuse

ANN = "oauth0@domain0.example"


async def verify(fleet: OAuthFleet, *arguments: str, **environ: str) -> Done:
    """The command with a worker's environment."""
    applications = {
        name: {
            "client_id": it.client_id,
            "client_secret": it.client_secret,
            "token_endpoint": it.token_endpoint,
            "scope": it.scope,
        }
        for name, it in fleet.applications.items()
    }
    file = fleet.ca_file.with_name("applications.json")
    file.write_text(json.dumps(applications))
    done = await warmup(
        "mailboxes",
        "verify",
        *arguments,
        url=fleet.url,
        environ={
            "WARMUP_ENCRYPTION_KEYS": KEY_LINE,
            "WARMUP_SMTP_CA_FILE": str(fleet.ca_file),
            "WARMUP_OAUTH_APPLICATIONS_FILE": str(file),
            "WARMUP_TIMING": json.dumps(asdict(PATIENT)),
            **environ,
        },
    )
    assert "secret-of-" not in done.out + done.err
    return done


async def test_phase_by_phase_and_nothing_is_sent(fleet: OAuthFleet) -> None:
    await fleet.start()
    await fleet.enrol(1)
    await fleet.consent(1)
    port = fleet.server.port
    with_password = await verify(fleet, "box0@domain0.example")
    assert (with_password.code, with_password.err) == (0, "")
    lines = with_password.out.splitlines()
    assert lines[0] == f"box0@domain0.example  127.0.0.1:{port}, starttls"
    assert lines[1].startswith(f"  connect    127.0.0.1:{port} answers 220 ")
    assert lines[2].startswith(
        "  tls        TLSv1.3, the certificate was issued by CN=warmup-fleet test authority"
    )
    assert lines[3] == "  auth       PLAIN: 235 2.7.0 Authentication successful"
    assert lines[4:] == ["  ok         it can log in; nothing was sent"]
    with_token = await verify(fleet, ANN.upper())
    assert with_token.code == 0
    assert with_token.out.splitlines()[1] == "  token      refreshed just now, good for 60 min"
    assert "  auth       XOAUTH2: 235" in with_token.out
    assert fleet.server.journal.of("mail-from") == []


async def test_it_refreshes_beside_a_running_worker_and_neither_loses_a_token(fleet: OAuthFleet) -> None:
    """field-018: two processes, a provider that rotates refresh tokens."""
    await fleet.start(EAGER.model_copy(update={"emails_per_mailbox_per_day": 6}))
    accounts = await fleet.consent(4)
    fleet.endpoint.seconds = 30  # every token has ended a minute before it began
    async with fleet.worker():
        done = await verify(fleet, "--all")
        await fleet.mails("sent", 24)
    assert (done.code, done.out) == (0, "4 of 4 mailboxes can log in, 0 cannot; nothing was sent.\n")
    for account in accounts:
        assert fleet.endpoint.live((await fleet.stored(account.id)).refresh)
    assert not await fleet.rows("SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL")
    await fleet.adds_up()


async def test_what_fails_is_told_with_its_phase_and_what_helps(fleet: OAuthFleet) -> None:
    await fleet.start()
    await fleet.enrol(2)
    [ann, ben] = await fleet.consent(2)
    fleet.endpoint.revoke(ben.address)
    fleet.server.faults[Step.LOGIN] = refuse(
        "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant."
    )
    await fleet.execute("UPDATE mailboxes SET active = false WHERE id = :id", id=ann.id)
    done = await verify(fleet, "--all")
    assert done.code == 1
    assert done.out.splitlines()[-1] == "0 of 4 mailboxes can log in, 4 cannot; nothing was sent."
    assert (
        done.out.count("auth       FAILED: smtp-auth-off-tenant: SMTP AUTH is disabled for the whole tenant")
        == 3
    )
    assert "token      FAILED: oauth-grant: its refresh token is taken no more" in done.out
    assert "note       it is paused, so workers send nothing from it" in done.out
    assert not await fleet.rows(
        "SELECT 1 FROM pauses UNION ALL SELECT 1 FROM mailboxes WHERE hold_reason IS NOT NULL"
    )
    assert len(fleet.server.journal.of("auth")) == 3, "no token mends that, so none is tried again"


async def test_a_certificate_of_a_companys_own_authority_before_and_after_it_is_named(
    fleet: OAuthFleet, tmp_path: Path
) -> None:
    """field-015: the error names the issuer and the setting; AUTH is never sent before the certificate is believed."""
    await fleet.start()
    ids = await fleet.enrol(1)
    nobody = tmp_path / "nobody.pem"
    nobody.write_bytes(Authority("somebody else").pem)
    before = await verify(fleet, str(ids[0]), WARMUP_SMTP_CA_FILE=str(nobody))
    assert before.code == 1
    [told] = [line for line in before.out.splitlines() if "FAILED" in line]
    assert told.startswith("  tls        FAILED: the certificate was not accepted: ")
    assert "spec.smtp.caConfigMapRef or WARMUP_SMTP_CA_FILE" in told
    assert "the certificate was issued by CN=warmup-fleet test authority and ends on" in told
    assert fleet.server.journal.of("auth") == []
    assert (await verify(fleet, str(ids[0]))).code == 0


async def test_what_it_is_asked_wrongly_is_told(fleet: OAuthFleet) -> None:
    await fleet.start()
    none, stranger, empty = await asyncio.gather(
        verify(fleet), verify(fleet, "nobody@tea.example"), verify(fleet, "--all")
    )
    assert (none.code, stranger.code, empty.code) == (2, 2, 0)
    assert none.err == "warmup: Give one mailbox, or --all.\n"
    assert "nobody@tea.example is not enrolled" in stranger.err
    assert empty.out.startswith("No mailbox is enrolled")
