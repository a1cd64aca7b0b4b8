"""An import against a real PostgreSQL: all or nothing, only what the file says, and fast."""

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from warmup_core import mailboxes
from warmup_core.credentials import Keys, Sealed, Tokens, parse_keys
from warmup_core.enrolment import Plan, parse
from warmup_core.types import Refused

KEYS = parse_keys("k1:" + "A" * 43 + "=")
ROTATED = parse_keys("k2:" + "B" * 42 + "A=\nk1:" + "A" * 43 + "=")


async def run(engine: AsyncEngine, csv: str, keys: Keys = KEYS, *, dry_run: bool = False) -> Plan:
    file = parse(csv.encode())
    async with engine.begin() as connection:
        return await mailboxes.enrol(connection, file, keys, dry_run=dry_run)


async def one(engine: AsyncEngine, statement: str) -> object:
    async with engine.connect() as connection:
        return await connection.scalar(text(statement))


def hundred(prefix: str = "m") -> str:
    rows = [f"{prefix}{n}@d{n % 4}.example,u{n % 20},mail.example,password-{n},Name {n}" for n in range(100)]
    return "\n".join(["email,user,smtp_host,password,display_name", *rows])


async def test_a_file_is_enrolled_with_its_users_and_sealed_passwords(engine: AsyncEngine) -> None:
    changes = await run(engine, hundred())
    assert (len(changes.added), len(changes.changed), len(changes.untouched)) == (100, 0, 0)
    assert await one(engine, "SELECT count(*) FROM users") == 20
    assert await one(engine, "SELECT max(id) - min(id) FROM mailboxes") == 99
    assert (
        await one(
            engine,
            "SELECT count(*) FROM credentials WHERE position('password' IN encode(ciphertext, 'escape')) > 0",
        )
        == 0
    )
    async with engine.connect() as connection:
        found = await mailboxes.enrolled(connection, KEYS)
    assert found["m7@d3.example"].password == "password-7"
    assert found["m7@d3.example"].user == "u7"


async def test_the_same_file_again_changes_nothing(engine: AsyncEngine) -> None:
    await run(engine, hundred())
    before = await one(engine, "SELECT max(changed_at) FROM mailboxes")
    changes = await run(engine, hundred())
    assert (len(changes.added), len(changes.changed), len(changes.untouched)) == (0, 0, 100)
    assert await one(engine, "SELECT max(changed_at) FROM mailboxes") == before


async def test_a_partial_file_keeps_credentials_holds_and_pauses(engine: AsyncEngine) -> None:
    """field-042."""
    await run(engine, hundred())
    async with engine.begin() as connection:
        await connection.execute(
            text(
                "UPDATE mailboxes SET active = id % 2 = 0, hold_reason = 'AuthenticationRefused', in_flight = 5,"
                " not_before = now() WHERE id <= 7"
            )
        )
    kept = "SELECT md5(string_agg(concat_ws('|', id, active, hold_reason, in_flight, not_before, display_name, username,"
    kept += " ciphertext), ',' ORDER BY id)) FROM mailboxes JOIN credentials ON mailbox_id = id"
    before = await one(engine, kept)
    rows = [f"m{n}@d{n % 4}.example,30,," for n in range(100)]
    changes = await run(engine, "\n".join(["email,quota,display_name,smtp_port", *rows]))
    assert len(changes.untouched) == 100
    rows = [f"m{n}@d{n % 4}.example,2525" for n in range(10)]
    changes = await run(engine, "\n".join(["email,smtp_port", *rows]))
    assert [change.columns for change in changes.changed] == [("smtp_port",)] * 10
    assert await one(engine, kept) == before
    assert await one(engine, "SELECT count(*) FROM mailboxes WHERE smtp_port = 2525") == 10
    assert (
        await one(engine, "SELECT count(*) FROM mailboxes WHERE changed_at > enrolled_at + interval '1 ms'")
        == 10
    )


async def test_a_dry_run_says_the_same_and_writes_nothing(engine: AsyncEngine) -> None:
    planned = await run(engine, hundred(), dry_run=True)
    assert await one(engine, "SELECT count(*) FROM mailboxes") == 0
    assert await run(engine, hundred()) == planned


async def test_one_bad_row_keeps_every_row_out(engine: AsyncEngine) -> None:
    await run(engine, "email,user,smtp_host,password\nm99@d3.example,owner,mail.example,p\n")
    with pytest.raises(Refused) as error:
        await run(engine, hundred())
    [fault] = error.value.faults
    assert fault.startswith("line 101, column 2 (user): m99@d3.example belongs to the user 'owner'")
    assert await one(engine, "SELECT count(*) FROM mailboxes") == 1
    assert await one(engine, "SELECT count(*) FROM users") == 1


async def test_any_spelling_finds_the_mailbox(engine: AsyncEngine) -> None:
    """field-043."""
    await run(engine, "email,user,smtp_host,password\ninfo@müller-tee.example,ada,mail.example,p\n")
    changes = await run(engine, "email,smtp_port\nINFO@MU\u0308LLER-TEE.EXAMPLE,25\n")
    assert changes.changed[0].mailbox.email == "info@xn--mller-tee-q9a.example"
    async with engine.connect() as connection:
        [shown] = await mailboxes.show(connection, "Info@xn--mller-tee-q9a.example")
    assert (shown.smtp_port, shown.user) == (25, "ada")


async def test_a_new_password_or_username_is_stored_under_the_active_key(engine: AsyncEngine) -> None:
    await run(
        engine,
        "email,user,smtp_host,password\na@b.example,a,mail.example,old\nc@d.example,c,mail.example,old\n",
    )
    await run(engine, "email,username,password\na@b.example,login,\nc@d.example,,new\n", ROTATED)
    async with engine.connect() as connection:
        found = await mailboxes.enrolled(connection, ROTATED)
        shown = {box.address: box.key_id for box in await mailboxes.show(connection)}
    assert (found["a@b.example"].username, found["a@b.example"].password) == ("login", "old")
    assert (found["c@d.example"].username, found["c@d.example"].password) == ("c@d.example", "new")
    assert shown == {"a@b.example": "k1", "c@d.example": "k2"}


async def test_two_imports_at_once_are_one_after_the_other(engine: AsyncEngine) -> None:
    first, second = await asyncio.gather(run(engine, hundred()), run(engine, hundred()))
    assert sorted([len(first.added), len(second.added)]) == [0, 100]


OAUTH = "email,user,smtp_host,oauth_application,refresh_token,access_token\n"


async def stored(engine: AsyncEngine, address: str) -> Tokens:
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT * FROM oauth_tokens"))).one()
    return KEYS.open_tokens(address, Sealed(row.key_id, row.nonce, row.ciphertext))


async def test_tokens_are_sealed_apart_from_passwords_and_replace_them(engine: AsyncEngine) -> None:
    ada, rows = "ada@tea.example", OAUTH + "ada@tea.example,ada,h.example,google,refresh-1,access-1\n"
    await run(engine, rows)
    held = await stored(engine, ada)
    assert (held.refresh, held.access) == ("refresh-1", "access-1")
    assert await one(engine, "SELECT count(*) FROM credentials") == 0
    assert await one(engine, "SELECT access_until > now() + interval '4 min' FROM oauth_tokens") is True
    shown = await one(engine, "SELECT encode(ciphertext, 'escape') FROM oauth_tokens")
    assert "refresh-1" not in str(shown)
    before = await one(engine, "SELECT nonce FROM oauth_tokens")
    assert (await run(engine, rows)).untouched == [ada]
    assert await one(engine, "SELECT nonce FROM oauth_tokens") == before

    await run(engine, "email,username,oauth_application\nada@tea.example,login,gmail\n")
    assert await one(engine, "SELECT username || ' ' || application FROM oauth_tokens") == "login gmail"
    assert await one(engine, "SELECT nonce FROM oauth_tokens") == before, (
        "a refresh under way is not disturbed"
    )
    await run(engine, "email,password\nada@tea.example,leaf\n")
    assert await one(engine, "SELECT count(*) FROM oauth_tokens") == 0
    assert await one(engine, "SELECT username FROM credentials") == "login"
    await run(engine, "email,oauth_application,refresh_token\nada@tea.example,google,refresh-2\n")
    assert (await stored(engine, ada)).refresh == "refresh-2"
    assert await one(engine, "SELECT count(*) FROM credentials") == 0
    assert await one(engine, "SELECT access_until FROM oauth_tokens") is None


async def test_a_new_refresh_token_lets_a_held_mailbox_go_on(engine: AsyncEngine) -> None:
    rows = OAUTH + "ada@tea.example,ada,h.example,google,refresh-1,\n"
    await run(engine, rows)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE mailboxes SET hold_reason = 'oauth-grant: it was revoked'"))
    await run(engine, rows)
    assert await one(engine, "SELECT hold_reason FROM mailboxes") == "oauth-grant: it was revoked"
    await run(engine, rows.replace("refresh-1", "refresh-2"))
    assert await one(engine, "SELECT hold_reason FROM mailboxes") is None


@pytest.mark.parametrize(
    ("column", "value", "ends"),
    [
        ("smtp_host", "other.example", True),
        ("smtp_port", "2587", True),
        ("smtp_security", "tls", True),
        ("password", "new", True),
        ("username", "login", True),
        ("display_name", "Ada", False),
    ],
)
async def test_what_may_mend_a_failure_ends_its_hold(
    engine: AsyncEngine, column: str, value: str, ends: bool
) -> None:
    await run(engine, "email,user,smtp_host,password\na@b.example,a,mail.example,old\n")
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE mailboxes SET hold_reason = 'tls: no', not_before = now() + interval '10 years'")
        )
    await run(engine, f"email,{column}\na@b.example,{value}\n")
    free = await one(engine, "SELECT hold_reason IS NULL AND not_before <= clock_timestamp() FROM mailboxes")
    assert free is ends


async def test_hours_of_its_own_are_written_changed_and_taken_back(engine: AsyncEngine) -> None:
    hours = "SELECT concat_ws('|', window_from, window_to, time_zone, days) FROM mailboxes WHERE address = 'm1@d1.example'"
    await run(engine, hundred())
    assert await one(engine, hours) == ""
    headers = "email,window_from,window_to,time_zone,days\nm1@d1.example,"
    await run(engine, f"{headers}14:00,22:00,America/Los_Angeles,Mon-Wed\n")
    assert await one(engine, hours) == "50400|79200|America/Los_Angeles|Mon,Tue,Wed"
    again = await run(engine, f"{headers}14:00,22:00,America/Los_Angeles,Mon-Wed\n")
    assert (len(again.changed), len(again.untouched)) == (0, 1)
    await run(engine, "email,display_name,days\nm1@d1.example,Other,fleet\n")
    assert await one(engine, hours) == "50400|79200|America/Los_Angeles"
    new = "email,user,smtp_host,password,time_zone\nnew@d1.example,u1,mail.example,p,Asia/Kathmandu\n"
    await run(engine, new)
    assert (
        await one(engine, "SELECT time_zone FROM mailboxes WHERE address = 'new@d1.example'")
        == "Asia/Kathmandu"
    )
