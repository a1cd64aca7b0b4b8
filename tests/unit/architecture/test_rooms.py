"""What the layout promises: no package hides Python's own ``operator``, and every module says what it owns."""

import ast
import configparser
import operator
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PACKAGES = sorted(ROOT.glob("*/warmup_*/"))
MODULES = sorted(module for package in PACKAGES for module in package.rglob("*.py"))


def test_the_folder_operator_is_no_package() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not [path for path in (ROOT / "tests").rglob("operator*") if path.stem == "operator"]
    assert Path(operator.__file__).is_relative_to(sys.base_prefix)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_owns_and_stays_small(module: Path) -> None:
    text = module.read_text()
    assert not text or ast.get_docstring(ast.parse(text)), "a module opens with a docstring"
    assert len(text.splitlines()) <= 400


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "common", "helpers", "helper", "manager", "misc"}
    assert not [module for module in MODULES if module.stem in empty]


def contract(name: str, key: str = "source_modules") -> set[str]:
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter")
    return set(contracts[f"importlinter:contract:{name}"][key].split())


def test_the_contracts_name_every_module_of_core() -> None:
    """Policy is pure and the tables know none of it, but for what both read; credentials are neither."""
    modules = {f"warmup_core.{path.stem}" for path in (ROOT / "core/warmup_core").glob("*.py")}
    pure, others = contract("policy"), contract("policy", "forbidden_modules")
    assert modules - pure - others == {"warmup_core.__init__", "warmup_core.credentials"}
    shared = {f"warmup_core.{name}" for name in ("addresses", "backoff", "timing", "types")}
    assert pure - contract("tables", "forbidden_modules") == shared


def test_the_contracts_name_every_module_of_the_operator() -> None:
    """A new module is in the contracts from its first day, or the contracts would say less and less."""
    modules = {f"warmup_operator.{path.stem}" for path in (ROOT / "operator/warmup_operator").glob("*.py")}
    excepted = {
        "kubernetes": {"warmup_operator.kube"},
        "kopf": {"warmup_operator.main", "warmup_operator.watching", "warmup_operator.__main__"},
        "sql": {f"warmup_operator.{name}" for name in ("demand", "postgres", "reasons", "strain")},
    }
    for name, free in excepted.items():
        assert modules - free - {"warmup_operator.__init__"} <= contract(name), name


def test_the_import_contracts_are_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
