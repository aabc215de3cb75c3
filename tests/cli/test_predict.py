"""``rapide predict`` against real doors, over both protocols."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from rapide.cli.main import main
from rapide.cli.predict import natural_key
from rapide.cli.prediction_clients import HttpClient, connect
from rapide.server.errors import InvalidRequest
from rapide.server.repository.manifest import Feature, Prediction
from rapide.server.signature import DataType
from tests import models
from tests.doors import Doors, opened
from tests.versions import publish_version, set_labels

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORD = '{"fuel": "petrol", "mileage": 5}'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    folder = tmp_path_factory.mktemp("predict")
    for _ in range(2):
        publish_version(
            folder / "models",
            "car-price",
            models.mixed_columns(),
            features=[
                Feature("fuel", "fuel", None, "text", required=True),
                Feature("mileage", "mileage", None, "number", required=True),
            ],
            predictions=[Prediction("price", "price", None, "number")],
        )
    set_labels(folder / "models", "car-price", "stable=1", "canary=2")
    publish_version(
        folder / "models",
        "digits",
        models.linear(),
        features=[Feature(name, "x", column, "number", required=True) for column, name in enumerate("abcd")],
        predictions=[
            Prediction(name, "y", column, "number")
            for column, name in enumerate(("score.10", "bias.first", "score.2"))
        ],
    )
    publish_version(
        folder / "models",
        "echo",
        models.identity(DataType.BYTES, ("N", 1)),
        features=[Feature("word", "x", None, "text", required=True)],
        predictions=[Prediction("said", "y", None, "text")],
    )
    models.repository(folder / "models", {"line": {1: models.linear()}})
    async with opened(folder / "models", folder / "state") as doors:
        yield doors


@pytest.fixture(params=["http", "grpc"])
def url(request: pytest.FixtureRequest, doors: Doors) -> str:
    return doors.http if request.param == "http" else f"grpc://{doors.grpc}"


async def rapide(*arguments: str) -> int:
    """The command, on a thread: the server runs on this one."""
    return await asyncio.to_thread(main, ["predict", *arguments])


async def test_one_row(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rapide(url, "car-price", FORD, "--request-id", "mine") == 0

    assert capsys.readouterr().out == ("price  105\nanswered by car-price version 1 (stable), request mine\n")


async def test_a_table_from_a_file(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cars.csv"
    path.write_text("fuel,mileage\npetrol,5\ndiesel,12.25\n")

    assert await rapide(url, "car-price", str(path), "--version", "2", "--request-id", "mine") == 0

    assert capsys.readouterr().out.splitlines() == [
        "price",
        "105",
        "12.25",
        "answered by car-price version 2, request mine",
    ]


async def test_json_for_scripts(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rapide(url, "car-price", FORD, "--label", "canary", "--request-id", "mine", "--json") == 0

    assert json.loads(capsys.readouterr().out) == {
        "predictions": [{"price": 105.0}],
        "model": "car-price",
        "version": "2",
        "label": "canary",
        "request_id": "mine",
    }


async def test_a_terminal_obeys_no_answer(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rapide(url, "echo", r'{"word": "a\u001b[2Jb"}', "--request-id", "mine") == 0

    assert capsys.readouterr().out.splitlines()[0] == "said  a [2Jb"


async def test_rows_without_names(doors: Doors, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rapide(doors.http, "line", "[[0, 0, 0, 0]]", "--request-id", "mine") == 0

    assert capsys.readouterr().out.splitlines()[0] == "[0.5, -0.5, 0.0]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("car-prize", FORD), "there is no model 'car-prize' here. Models here: car-price, digits, echo, line."),
        (("car-price", '{"fule": "petrol", "mileage": 5}'), "there is no feature 'fule'; did you mean 'fuel'?"),
        (("car-price", '{"fuel": "petrol", "mileage": "far"}'), "mileage: expected a number, got the text 'far'"),
        (("car-price", FORD, "--version", "9"), "model 'car-price' has no version '9' here. Versions here: 2, 1."),
        (("car-price", "cars.csv"), "there is no file 'cars.csv', and it is no JSON either."),
        (("car-price", FORD, "--timeout", "0"), "--timeout must be above 0 seconds."),
        (("car-price", FORD, "--request-id", "a b"), "--request-id: 'a b' cannot name a call."),
        (("car-price", FORD, "--request-id", "a b"), "Write 1 to 128 visible ASCII characters, without spaces."),
        (("car-price", "[]"), "no rows were given."),
        (("car-price", '{"fuel": [], "mileage": []}'), "no rows were given."),
    ],
)
async def test_mistakes_are_told_in_the_callers_terms(
    url: str, arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await rapide(url, *arguments) == 1

    printed = capsys.readouterr()
    assert message in printed.err
    assert "Traceback" not in printed.err
    assert printed.out == ""


async def test_columns_come_in_the_order_of_their_names(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rapide(url, "digits", '{"a": 0, "b": 0, "c": 0, "d": 0}') == 0

    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()[:-1]]
    assert names == ["bias.first", "score.2", "score.10"]


async def test_both_protocols_print_the_same_digits(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rapide(url, "car-price", '{"fuel": "petrol", "mileage": 8228.222}', "--json") == 0

    assert json.loads(capsys.readouterr().out)["predictions"] == [{"price": 8328.222}]


@pytest.mark.parametrize(
    "names",
    [
        ["label", "probability.0", "probability.1", "probability.2", "probability.10"],
        ["probability.-1", "probability.1"],
        ["probability.2.0", "probability.2.5", "probability.10.0"],
        ["diagnosis", "probability.benign", "probability.malignant", "a1", "a2", "a10", "b1"],
        ["x-1", "x-2", "x-10"],
    ],
)
async def test_the_order_of_names(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(backwards, key=natural_key) == names


@pytest.mark.parametrize("scheme", ["http", "grpc"])
async def test_nobody_there(scheme: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert await rapide(f"{scheme}://127.0.0.1:1", "car-price", FORD) == 1

    printed = capsys.readouterr().err
    assert f"cannot reach {scheme}://127.0.0.1:1" in printed
    assert "`rapide serve models/` starts one" in printed


async def test_somebody_else_is_there(doors: Doors, capsys: pytest.CaptureFixture[str]) -> None:
    """The gRPC port, asked over HTTP/1.1."""
    assert await rapide(f"http://{doors.grpc}", "car-price", FORD, "--timeout", "5") == 1

    assert f"cannot reach http://{doors.grpc}" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["ftp://host", "http://", "http://host:port", "grpc://"])
async def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InvalidRequest, match="is no address of a server"):
        connect(text)


async def test_addresses() -> None:
    assert connect("localhost:8000") == HttpClient("http", "localhost", 8000, "")
    assert connect("https://host/models/") == HttpClient("https", "host", None, "/models")
    assert connect("grpc://[::1]:9").target == "[::1]:9"  # type: ignore[attr-defined]
    assert connect("grpc://host").target == "host:8001"  # type: ignore[attr-defined]


async def test_asking_over_http_imports_nothing_heavy() -> None:
    heavy = ("numpy", "grpc", "google.protobuf", "starlette")
    code = f"import sys, rapide.cli.predict; print([name for name in {heavy} if name in sys.modules])"

    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    assert printed == "[]\n"
