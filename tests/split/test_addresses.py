"""The addresses of a server: what is not found in time, or not at all, is a link that failed."""

from __future__ import annotations

import socket
import threading
import time

import links
import numpy as np
import pytest

from edgec.split.addresses import AddressLookup
from edgec.split.client import LinkError, Server, SplitClient
from edgec.split.tensors import PayloadCoding

pytest.importorskip("constriction")
pytest.importorskip("prometheus_client")


def _client(host: str, port: int, timeout_s: float) -> SplitClient:
    return SplitClient(Server(host, port), links.manifest(), timeout_s)


def test_a_slow_look_up_ends_with_the_time_out_and_is_used_when_it_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    answered, calls = threading.Event(), []

    def slow(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        calls.append(host)
        answered.wait(10)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with links.serving(links.manifest()) as (_, port):
        client, coding = _client("server.example", port, 1.0), PayloadCoding(links.manifest())
        payload = coding.pack({"latent": links.latent(0)})
        client_of_short_patience = _client("server.example", port, 0.1)
        began = time.monotonic()
        with pytest.raises(LinkError, match="not found within the time-out"):
            client_of_short_patience.ask(payload, coding.coding, coding.shape)
        assert time.monotonic() - began < 0.9
        with pytest.raises(LinkError, match="not found"):
            client_of_short_patience.ask(payload, coding.coding, coding.shape)
        assert len(calls) == 1, "one look-up waits, not two"
        answered.set()
        reply = client.ask(payload, coding.coding, coding.shape)
        client.close()
    assert np.array_equal(np.frombuffer(reply.payload, "<f4"), links.scores(links.latent(0)).ravel())


@pytest.mark.parametrize("host", ["a" * 80 + ".example", "no-such-host.invalid", "256.256.256.256"])
def test_an_unknown_host_is_a_failed_connection(host: str) -> None:
    with pytest.raises(LinkError, match="the connection failed"):
        _client(host, 1, 5.0).probe()


def test_the_second_address_of_a_host_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("127.0.0.9", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with links.serving(links.manifest()) as (_, port):
        client = _client("server.example", port, 5.0)
        assert client.probe().elapsed_ms < 5e3
        client.close()


def test_an_address_needs_no_name() -> None:
    assert AddressLookup("127.0.0.1", 80).addresses(5.0) == [(socket.AF_INET, ("127.0.0.1", 80))]
