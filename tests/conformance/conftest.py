"""Which server is tested: the one at ``--http-url`` and ``--grpc-url``, or one of our own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance import repository
from tests.conformance.target import Target
from tests.serving import serving


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "the server under test (default: rapide, started for the purpose)")
    group.addoption("--http-url", default="", help="such as http://127.0.0.1:8000")
    group.addoption("--grpc-url", default="", help="such as 127.0.0.1:8001")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "extension(name): needs an extension that the server lists in its metadata")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One server for the whole suite."""
    # With a default, as the options are unknown where pytest was not pointed at this folder.
    http_url = str(request.config.getoption("--http-url", default="") or "").rstrip("/")
    grpc_address = str(request.config.getoption("--grpc-url", default="") or "")
    if http_url or grpc_address:
        yield Target(http_url, grpc_address.removeprefix("grpc://"))
        return
    folder = tmp_path_factory.mktemp("conformance")
    models = repository.write(folder / "models")
    everything = ("--version-policy", "all", "--control", "explicit", "--load", "*")
    with serving(models, folder / "server.log", *everything) as served:
        yield Target(served.http_url, served.grpc, ours=True)


@pytest.fixture
def target(server: Target, request: pytest.FixtureRequest) -> Target:
    """The server under test, for a test whose extensions it has."""
    for marker in request.node.iter_markers("extension"):
        server.need_extension(marker.args[0])
    return server
