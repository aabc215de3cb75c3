"""Which server is tested: the one at ``--http-url`` and ``--grpc-url``, or one of our own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance import repository
from tests.conformance.target import Target
from tests.serving import serving

ENGINES = {
    "lane": ("--grpc-engine", "lane", "--http-engine", "lane"),
    "reference": ("--grpc-engine", "grpcio", "--http-engine", "uvicorn"),
}
EVERYTHING = ("--version-policy", "all", "--control", "explicit", "--load", "*")


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("conformance", "the server under test (default: rapide, started for the purpose)")
    group.addoption("--http-url", default="", help="such as http://127.0.0.1:8000")
    group.addoption("--grpc-url", default="", help="such as 127.0.0.1:8001")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "extension(name): needs an extension that the server lists in its metadata")


def _given(config: pytest.Config) -> Target:
    # With defaults, as the options are unknown where pytest was not pointed at this folder.
    http_url = str(config.getoption("--http-url", default="") or "")
    grpc_address = str(config.getoption("--grpc-url", default="") or "")
    return Target(http_url.rstrip("/"), grpc_address.removeprefix("grpc://"))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A given server is tested once; ours on its own protocol engines, and on those that they are measured by."""
    if "server" in metafunc.fixturenames:
        given = _given(metafunc.config)
        engines = ["given"] if given.http_url or given.grpc_address else list(ENGINES)
        metafunc.parametrize("server", engines, indirect=True, scope="session")


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One server for the whole suite."""
    if request.param == "given":
        yield _given(request.config)
        return
    folder = tmp_path_factory.mktemp("conformance")
    models = repository.write(folder / "models")
    with serving(models, folder / "server.log", *EVERYTHING, *ENGINES[request.param]) as served:
        yield Target(served.http_url, served.grpc, ours=True)


@pytest.fixture
def target(server: Target, request: pytest.FixtureRequest) -> Target:
    """The server under test, for a test whose extensions it has."""
    for marker in request.node.iter_markers("extension"):
        server.need_extension(marker.args[0])
    return server
