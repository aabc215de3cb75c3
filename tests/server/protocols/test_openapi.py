"""The description of the HTTP API is whole: names are unique, and what is referred to exists."""

from __future__ import annotations

import json
import re

import pytest

from rapide.server.protocols.http_call import Route, RouteTable
from rapide.server.protocols.http_models import live
from rapide.server.protocols.http_routes import ADMIN_ROUTES, PUBLIC_ROUTES
from rapide.server.protocols.openapi import document
from rapide.server.protocols.openapi_schemas import SCHEMAS


@pytest.mark.parametrize("table", [PUBLIC_ROUTES, ADMIN_ROUTES], ids=["public", "admin"])
def test_operations_are_named_uniquely_and_refer_to_schemas_that_exist(table: RouteTable) -> None:
    text = json.dumps(document(table, "1"))
    names = re.findall(r'"operationId": "([^"]+)"', text)

    assert len(names) == len(set(names)) == len(table.routes)
    assert set(re.findall(r"#/components/schemas/(\w+)", text)) <= SCHEMAS.keys()


def test_every_schema_is_used() -> None:
    text = json.dumps(document(PUBLIC_ROUTES, "1"))

    assert SCHEMAS.keys() == set(re.findall(r"#/components/schemas/(\w+)", text))


def test_placeholders_and_bodies_are_described() -> None:
    infer = document(PUBLIC_ROUTES, "1")["paths"]["/v2/models/{model}/versions/{version}/infer"]["post"]

    assert [given["name"] for given in infer["parameters"] if given["in"] == "path"] == ["model", "version"]
    assert set(infer["requestBody"]["content"]) == {"application/json", "application/octet-stream"}
    assert {"400", "404", "413", "415", "429", "503", "504"} <= infer["responses"].keys()


def test_a_route_can_be_listed_once() -> None:
    route = Route("GET", "/x", live, "", "")

    with pytest.raises(ValueError, match="two routes for GET /x"):
        RouteTable((route, route))
