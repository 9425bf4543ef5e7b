"""Fixtures for all tests: corpora and peers (skipped where missing, an error in CI), and Hypothesis profiles."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import surroundings
from tests.peer_commands import Gpgsm, Nss, OpenSsl

hypothesis.settings.register_profile("default", deadline=None, max_examples=60)
hypothesis.settings.register_profile("ci", deadline=None, max_examples=60, derandomize=True)
hypothesis.settings.register_profile("thorough", deadline=None, max_examples=3_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if surroundings.IN_CI else "default"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A marker says what a test needs: skip it with a reason where that is missing, fail where it must not be."""
    for marker in {mark.name for mark in item.iter_markers()}:
        _require(marker)


def _require(marker: str) -> None:
    reason = surroundings.missing(marker)
    if reason is None:
        return
    if surroundings.must_not_be_missing(marker):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(autouse=True)
def _no_garbage_collection_while_timing(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests named `…linear…` compare times: collections of a whole session's objects would look like quadratic time."""
    if "linear" not in request.node.name:
        yield
        return
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.fixture(scope="session")
def corpora() -> Path:
    """The folder of the third-party corpora; `corpora / "rfc4134"` and so on. Read only."""
    _require("corpora")
    return surroundings.CORPORA


@pytest.fixture(scope="session")
def openssl() -> OpenSsl:
    """The openssl command: `openssl("cms", "-verify", …, stdin=b"…").stdout`."""
    _require("openssl")
    return OpenSsl()


@pytest.fixture
def gpgsm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gpgsm]:
    """The gpgsm command with an empty home of its own, no network and no questions."""
    _require("gpgsm")
    command = Gpgsm(tmp_path_factory.mktemp("g"))
    try:
        yield command
    finally:
        command.stop_agent()


@pytest.fixture
def nss(tmp_path_factory: pytest.TempPathFactory) -> Nss:
    """The commands of NSS with an empty database of their own: `nss("cmsutil", "-D", …)`."""
    _require("nss")
    return Nss(tmp_path_factory.mktemp("nss"))
