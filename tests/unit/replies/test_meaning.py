"""Every literal reply has its meaning, and every rule has a literal reply."""

import ast
from itertools import chain
from pathlib import Path
from types import ModuleType

import pytest

from tests.unit.replies.cases import CASES, CORPUS, EVERYTHING, Case
from warmup_core import reply_concepts, reply_words
from warmup_core.replies import ALLOWED, RULES, classify
from warmup_core.reply_text import plain


@pytest.mark.parametrize("case", CORPUS, ids=lambda case: case.id)
def test_a_reply_of_the_corpus_means_what_it_says(case: Case) -> None:
    _holds(case)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_reply_in_other_words_means_the_same(case: Case) -> None:
    _holds(case)


def _holds(case: Case) -> None:
    verdict = classify(case.phase, case.reply, case.provider)
    got = (verdict.scope, verdict.reaction, verdict.retry_after, verdict.counts_against_mailbox_health)
    wanted = (case.scope, case.reaction, case.retry_after_hint, case.counts_against_mailbox_health)
    assert got == wanted, f"by the rule {verdict.rule}"


def test_every_rule_is_the_first_match_of_some_reply() -> None:
    reached = {classify(case.phase, case.reply, case.provider).rule for case in EVERYTHING}
    assert [rule.name for rule in RULES if rule.name not in reached] == []


def test_names_of_rules_are_unique() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)


def test_rules_name_concepts_that_exist_and_use_all() -> None:
    named = {concept for rule in RULES for either in rule.says + rule.unless for concept in either.split("|")}
    for_scopes = {"our address", "tenant", "domain", "account"}
    assert named | for_scopes == set(reply_concepts.CONCEPTS)


def test_every_outcome_of_a_rule_is_allowed() -> None:
    outcomes = chain.from_iterable(
        [rule.outcome] if isinstance(rule.outcome, tuple) else rule.outcome.items() for rule in RULES
    )
    assert set(outcomes) == ALLOWED


@pytest.mark.parametrize("module", [reply_words, reply_concepts])
def test_words_stand_in_the_plain_form(module: ModuleType) -> None:
    source = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    lists = [
        call.args[0].value
        for call in ast.walk(source)
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id == "words"
        and isinstance(call.args[0], ast.Constant)
    ]
    listed = [word.strip().removesuffix("*") for text in lists for word in str(text).split(",")]
    assert len(listed) > 200
    assert [word for word in listed if word and plain(word) != word] == []
