"""House rules that neither ruff nor import-linter can express (import-linter sees only whole external packages)."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import inspect
import itertools
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import smime_engine
from smime_engine import errors
from tests.surroundings import REPOSITORY

ALLOWED_IMPORTERS = {
    "cryptography.hazmat.primitives": ("smime_engine/crypto/",),
    "cryptography.hazmat.asn1": ("smime_engine/asn1/der.py",),
    "asn1crypto": ("smime_engine/cli/",),
    "oscrypto": (),
    "ctypes": (),
    "pickle": (),
}
"""External module → the only places of the product that may import it or anything below it."""

WITH_IO = ("smime_engine/sources/", "smime_engine/cli/", "plugins/")
REACHING_OUTSIDE = {
    "open",
    "io.open",
    "print",
    "input",
    "breakpoint",
    "exec",
    "eval",
    "datetime.now",
    "datetime.utcnow",
}

MAXIMUM_LINES = 400
MAXIMUM_EXCEPTIONS = 10

DISTRIBUTIONS = {
    **importlib.metadata.packages_distributions(),
    "dns": ["dnspython"],
    "exchangelib": ["exchangelib"],
    "ldap": ["python-ldap"],
    "pkcs11": ["python-pkcs11"],
}
"""Import name → the distributions that have it; extras that need not be installed here are spelled out."""

PRODUCT = sorted(
    path.relative_to(REPOSITORY)
    for folder in ("smime_engine", "plugins")
    for path in (REPOSITORY / folder).rglob("*.py")
)


@pytest.mark.parametrize("path", PRODUCT, ids=str)
def test_file_keeps_the_house_rules(path: Path):
    text = (REPOSITORY / path).read_text(encoding="utf-8")
    if not text.strip():
        return
    tree = ast.parse(text)
    assert ast.get_docstring(tree), "every file opens with what it does and what it does not"
    assert text.count("\n") <= MAXIMUM_LINES, "split it"
    if tree.body[1:]:
        assert "from __future__ import annotations" in text
    for module in imported_modules(tree):
        for restricted, places in ALLOWED_IMPORTERS.items():
            if module == restricted or module.startswith(restricted + "."):
                assert path.as_posix().startswith(places), f"imports {module}"


def imported_modules(tree: ast.Module) -> Iterator[str]:
    """Every dotted name that the module imports; for `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_possessive_groups_stand_in_one_place():
    """Python before 3.11.5 matches them wrongly: `mime/expressions.py` knows what to write instead."""
    for path in PRODUCT:
        if path.name != "expressions.py":
            text = (REPOSITORY / path).read_text(encoding="utf-8")
            assert not re.search(r"\)(?:[*+?]|\{\d*,\d*\})\+", text), f"{path}: use mime.expressions.repeated"


def test_every_module_has_its_layer():
    contracts = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    layers, core = contracts[0]["layers"], contracts[1]["source_modules"]
    placed = {name.strip(" ()") for line in layers for name in line.split("|")}
    outside_of_the_core = {"smime_engine.sources", "smime_engine.cli"}
    modules = {f"smime_engine.{found.name}" for found in pkgutil.iter_modules(smime_engine.__path__)}
    assert modules <= placed
    assert modules - outside_of_the_core <= set(core)


def test_every_import_is_a_declared_dependency():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[\[<>= ]", requirement)[0].lower().replace("_", "-") for requirement in requirements}
    own = {"__future__", "smime_engine", "smime_smtp_relay", "smime_lab", "tests", "bench", "fuzz", "atheris"}
    helpers = (path for folder in ("tests", "bench", "fuzz") for path in (REPOSITORY / folder).rglob("*.py"))
    for path in (*PRODUCT, *helpers):
        tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
        for name in {module.partition(".")[0] for module in imported_modules(tree)} - own - sys.stdlib_module_names:
            distributions = DISTRIBUTIONS.get(name, [name])
            assert {it.lower().replace("_", "-") for it in distributions} & declared, f"{path} imports {name}"


def test_hot_files_are_listed():
    """A file that says `Hot file` in its docstring stands in ARCHITECTURE.md, and the other way round."""
    section = (REPOSITORY / "ARCHITECTURE.md").read_text().partition("## Hot files")[2]
    listed = set(re.findall(r"`([a-z0-9_/]+\.py)`", section))
    hot = set()
    for path in PRODUCT:
        docstring = ast.get_docstring(ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))) or ""
        if "Hot file" in docstring:
            hot.add(path.as_posix().removeprefix("smime_engine/"))
    assert hot == listed


def test_exceptions_stay_few():
    own = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, errors.SmimeError)]
    assert len(own) <= MAXIMUM_EXCEPTIONS


def test_every_decision_has_its_own_number():
    numbers = [path.name[:4] for path in (REPOSITORY / "docs" / "decisions").glob("*.md")]
    assert len(numbers) == len(set(numbers))
    assert all(re.fullmatch(r"\d{4}", number) for number in numbers)


def test_every_marker_with_a_peer_is_registered(pytestconfig: pytest.Config):
    from tests import surroundings

    registered = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert {peer.marker for peer in surroundings.peers()} <= registered


@pytest.mark.parametrize("path", [path for path in PRODUCT if not path.as_posix().startswith(WITH_IO)], ids=str)
def test_core_calls_nothing_that_reaches_outside(path: Path):
    for node in ast.walk(ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in REACHING_OUTSIDE, f"line {node.lineno} calls {called}"


@pytest.mark.parametrize("package", ["smime_engine", "smime_smtp_relay", "smime_lab"])
def test_packages_import(package):
    importlib.import_module(package)
