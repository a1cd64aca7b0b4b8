"""Migrations only expand: whatever the statements of the release before rely on stands after each of them, and so do the rows.

Judged by what the database's catalogue says before and after, not by how a migration is written. A worker of the release before
goes on beside the newer schema: it names its columns, knows nothing of new ones, and writes words that it always wrote.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.postgres.judge import judge
from tests.postgres.server import Postgres
from warmup_core import database, schema

_COLUMNS = text("""
    SELECT c.relname AS relation, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
        a.attnotnull AS required, a.atthasdef OR a.attidentity <> '' AS filled_in, pg_get_expr(d.adbin, d.adrelid) AS default
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S') AND NOT c.relispartition
        AND c.relname <> 'alembic_version'
""")
_RULES = text("""
    SELECT conrelid::regclass::text AS relation, conname AS name, pg_get_constraintdef(k.oid) AS rule,
        ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = conrelid AND attnum = ANY (conkey)) AS columns
    FROM pg_constraint k JOIN pg_class c ON c.oid = conrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND contype <> 'n'
    UNION ALL
    SELECT indrelid::regclass::text, i.relname, pg_get_indexdef(indexrelid),
        ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = indrelid AND attnum = ANY (indkey))
    FROM pg_index JOIN pg_class i ON i.oid = indexrelid JOIN pg_class t ON t.oid = indrelid
    WHERE t.relnamespace = 'public'::regnamespace AND NOT t.relispartition AND indisunique
        AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
    UNION ALL
    SELECT tgrelid::regclass::text, tgname, pg_get_triggerdef(t.oid), ARRAY[]::text[]
    FROM pg_trigger t JOIN pg_class c ON c.oid = tgrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT c.relispartition AND NOT tgisinternal
""")
_FUNCTIONS = text("""
    SELECT proname || '(' || pg_get_function_identity_arguments(oid) || ')' AS name, pg_get_function_result(oid) AS result
    FROM pg_proc WHERE pronamespace = 'public'::regnamespace
""")


_WORD = r"'[^']*'::text"


@dataclass(frozen=True)
class Column:
    """What a statement that names it relies on. ``filled_in``: an INSERT may leave it out."""

    type: str
    required: bool
    filled_in: bool
    default: str | None


@dataclass(frozen=True)
class Catalogue:
    """A schema. By relation and name: columns, and rules (constraints, unique indexes, triggers) with their columns."""

    columns: dict[tuple[str, str], Column]
    rules: dict[tuple[str, str], tuple[str, frozenset[str]]]
    functions: dict[str, str]


def catalogue(connection: Connection) -> Catalogue:
    """What there is now."""
    return Catalogue(
        {
            (it.relation, it.name): Column(it.type, it.required, it.filled_in, it.default)
            for it in connection.execute(_COLUMNS)
        },
        {(it.relation, it.name): (it.rule, frozenset(it.columns)) for it in connection.execute(_RULES)},
        {it.name: it.result for it in connection.execute(_FUNCTIONS)},
    )


def breaches(before: Catalogue, after: Catalogue) -> Iterator[str]:
    """What a statement that was written for ``before`` may stumble over in ``after``, a sentence each. Pure."""
    old_relations = {relation for relation, _ in before.columns}
    for (relation, name), old in before.columns.items():
        new = after.columns.get((relation, name))
        if new is None:
            yield f"{relation}.{name} is gone"
        elif (new.type, new.default) != (old.type, old.default):
            yield f"{relation}.{name} was {old} and is {new}"
        elif new.required and not old.required:
            yield f"{relation}.{name} may not be null any more"
    for (relation, name), new in after.columns.items():
        is_new = relation in old_relations and (relation, name) not in before.columns
        if is_new and new.required and not new.filled_in:
            yield f"{relation}.{name} is new, and an INSERT that does not know it fails"
    for (relation, name), (rule, columns) in after.rules.items():
        old_columns = {column for column in columns if (relation, column) in before.columns}
        was = before.rules.get((relation, name), ("", frozenset()))[0]
        if relation not in old_relations or rule == was:
            continue
        if not was and columns and not old_columns:
            continue  # of new columns alone
        if not was or not _admits_more(was, rule):
            yield f"{relation} has the new rule {name}: {rule}"
    for function, result in before.functions.items():
        if after.functions.get(function) != result:
            yield f"{function} is gone or returns something else"


def _admits_more(was: str, rule: str) -> bool:
    """Whether a rule is the one before with more words in its list."""
    same_but_for_words = re.sub(_WORD, "", was).replace(", ", "") == re.sub(_WORD, "", rule).replace(", ", "")
    return same_but_for_words and set(re.findall(_WORD, was)) <= set(re.findall(_WORD, rule))


_ROWS = [
    "INSERT INTO fleet (owner_cluster, owner_namespace, owner_name, owner_uid, token, settings)"
    " VALUES ('c', 'n', 'm', 'u', 't', '{}')",
    "INSERT INTO workers (number, incarnation, lease_until) VALUES (1, nextval('incarnations'), now())",
    "INSERT INTO users (name) VALUES ('u')",
    "INSERT INTO mailboxes (user_id, address, smtp_host, smtp_port, smtp_security)"
    " SELECT id, 'a@b.c', 'h', 587, 'tls' FROM users",
    "INSERT INTO credentials SELECT id, 'u', 'k', '123456789012', 'c' FROM mailboxes",
    "INSERT INTO quotas (day, mailbox_id, quota) SELECT current_date, id, 3 FROM mailboxes",
    "INSERT INTO mails (day, id, mailbox_id, recipient_id, k, state, number, incarnation, epoch, claimed_at)"
    " SELECT current_date, 1, id, id, 0, 'intent', 1, 1, 1, now() FROM mailboxes",
]
"""Of the first release that ever was: a row in each of its tables, as it wrote them."""


def _tables_with_rows(connection: Connection) -> dict[str, int]:
    return {
        table: connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0
        for table in (statement.split()[2] for statement in _ROWS)
    }


def _step_by_step(connection: Connection) -> list[str]:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    before, found = None, []
    for revision in schema.REVISIONS:
        command.upgrade(config, revision)
        after = catalogue(connection)
        if before is None:
            for statement in _ROWS:
                connection.execute(text(statement))
        else:
            found += [f"{revision}: {breach}" for breach in breaches(before, after)]
        assert _tables_with_rows(connection) == {statement.split()[2]: 1 for statement in _ROWS}
        before = after
    # what the oldest wrote can still be written, beside what is there
    connection.execute(text("DELETE FROM mailboxes"))
    for table in ("fleet", "workers", "users", "quotas", "mails"):
        connection.execute(text(f"DELETE FROM {table}"))
    for statement in _ROWS:
        connection.execute(text(statement))
    return found


async def test_every_migration_leaves_what_the_release_before_relies_on(postgres: Postgres) -> None:
    url = database.parse_url(postgres.url(await postgres.create_empty()))
    empty = judge(url)
    try:
        async with empty.begin() as connection:
            assert await connection.run_sync(_step_by_step) == []
    finally:
        await empty.dispose()


@pytest.mark.parametrize(
    ("statement", "breach"),
    [
        ("ALTER TABLE mails DROP COLUMN reply", "mails.reply is gone"),
        ("ALTER TABLE mails RENAME COLUMN reply TO answer", "mails.reply is gone"),
        ("ALTER TABLE users RENAME TO people", "users.id is gone"),
        ("DROP VIEW v_quota_today", "v_quota_today.address is gone"),
        ("ALTER TABLE quotas ALTER COLUMN sent TYPE bigint", "quotas.sent was"),
        ("ALTER TABLE mailboxes ALTER COLUMN display_name DROP DEFAULT", "mailboxes.display_name was"),
        ("ALTER TABLE mails ALTER COLUMN reply SET NOT NULL", "mails.reply may not be null any more"),
        ("ALTER TABLE users ADD COLUMN owner text NOT NULL", "users.owner is new, and an INSERT"),
        ("ALTER TABLE users ADD CHECK (name <> '')", "users has the new rule users_name_check"),
        ("CREATE UNIQUE INDEX one ON users (lower(name), id)", "users has the new rule one"),
        (
            "ALTER TABLE mails DROP CONSTRAINT mails_state, ADD CONSTRAINT mails_state CHECK (state IN ('intent', 'sent'))",
            "mails has the new rule mails_state",
        ),
        ("DROP FUNCTION fleet_day() CASCADE", "fleet_day() is gone"),
    ],
)
async def test_what_would_break_a_worker_of_the_release_before_is_noticed(
    engine: AsyncEngine, statement: str, breach: str
) -> None:
    async with engine.connect() as connection:
        before = await connection.run_sync(catalogue)
        if "DROP COLUMN" in statement or "TYPE" in statement:
            await connection.execute(text("DROP VIEW v_quota_today"))
        await connection.execute(text(statement))
        after = await connection.run_sync(catalogue)
        await connection.rollback()
    assert any(it.startswith(breach) for it in breaches(before, after))


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE mails ADD COLUMN folder text, ADD COLUMN tries integer NOT NULL DEFAULT 0 CHECK (tries >= 0)",
        "CREATE TABLE bounces (id bigint PRIMARY KEY, words text NOT NULL)",
        "CREATE INDEX users_name ON users (lower(name))",
        "ALTER TABLE mails DROP CONSTRAINT mails_state, ADD CONSTRAINT mails_state"
        " CHECK (state IN ('intent', 'sent', 'failed', 'in_doubt', 'bounced'))",
    ],
)
async def test_what_only_adds_is_let_through(engine: AsyncEngine, statement: str) -> None:
    async with engine.connect() as connection:
        before = await connection.run_sync(catalogue)
        await connection.execute(text(statement))
        after = await connection.run_sync(catalogue)
        await connection.rollback()
    assert list(breaches(before, after)) == []
