"""Server and client over a real socket: right answers, refusals that say why, and a link that fails in every way."""

from __future__ import annotations

import hashlib
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import links
import numpy as np
import pytest

from edgec.core.errors import EdgecError
from edgec.core.tensor import Sample
from edgec.split.client import LinkError, Server, SplitClient
from edgec.split.manifest import SplitManifest
from edgec.split.policy import FallbackPolicy, Where
from edgec.split.server import ServerSettings
from edgec.split.session import SplitSession
from edgec.split.tensors import PayloadCoding, unpack_tensors
from edgec.split.wire import Failure, Header, Kind, pack, parse_failure, parse_header

pytest.importorskip("constriction")
pytest.importorskip("prometheus_client")


def _client(port: int, description: SplitManifest, *, timeout_s: float = 5.0, **server: str | bytes) -> SplitClient:
    return SplitClient(Server("127.0.0.1", port, **server), description, timeout_s)  # type: ignore[arg-type]


def _ask(client: SplitClient, description: SplitManifest, latent: np.ndarray) -> np.ndarray:
    coding = PayloadCoding(description)
    reply = client.ask(coding.pack({"latent": latent}), coding.coding, coding.shape)
    return unpack_tensors(reply.payload, description.returned)["scores"]


@pytest.mark.parametrize("entropy", [True, False])
def test_the_answer_is_the_tail_of_what_was_sent(entropy: bool) -> None:
    description = links.manifest(entropy=entropy)
    with links.serving(description) as (_, port):
        client = _client(port, description)
        for seed in range(5):
            latent = links.latent(seed)
            assert np.array_equal(_ask(client, description, latent), links.scores(latent))
        client.close()


def test_requests_of_many_clients_run_together() -> None:
    description, sizes = links.manifest(), []

    def slow(requests: Sequence[Sample]) -> list[dict[str, np.ndarray]]:
        sizes.append(len(requests))
        time.sleep(0.05)
        return links.tail(requests)

    def work(seed: int) -> None:
        client = _client(port, description)
        for step in range(3):
            latent = links.latent(10 * seed + step)
            right.append(np.array_equal(_ask(client, description, latent), links.scores(latent)))
        client.close()

    right: list[bool] = []
    with links.serving(description, run=slow) as (server, port):
        threads = [threading.Thread(target=work, args=(seed,)) for seed in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answered = server.metrics.registry.get_sample_value("edgec_split_requests_total", {"result": "answered"})
    assert right == [True] * 36
    assert answered == 36
    assert max(sizes) > 1


def test_a_server_with_too_much_to_do_says_so_at_once() -> None:
    description, gate = links.manifest(), threading.Event()

    def stuck(requests: Sequence[Sample]) -> list[dict[str, np.ndarray]]:
        gate.wait(10)
        return links.tail(requests)

    settings = ServerSettings(most_waiting=1, most_batch=1)
    refused: list[str] = []

    def work() -> None:
        try:
            _ask(_client(port, description), description, links.latent(0))
        except LinkError as error:
            refused.append(error.reason)
            gate.set()

    with links.serving(description, settings, stuck) as (_, port):
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert refused
    assert all("requests wait already" in reason for reason in refused)


def test_a_failing_tail_is_an_answer() -> None:
    def broken(requests: Sequence[Sample]) -> list[dict[str, np.ndarray]]:
        raise ZeroDivisionError("weights are gone")

    description = links.manifest()
    with links.serving(description, run=broken) as (_, port), pytest.raises(LinkError, match="weights are gone"):
        _ask(_client(port, description), description, links.latent(0))


def test_strangers_are_not_admitted() -> None:
    description = links.manifest()
    with links.serving(description, ServerSettings(token=b"secret")) as (_, port):
        with pytest.raises(LinkError, match="token"):
            _ask(_client(port, description, token=b"guess"), description, links.latent(0))
        with pytest.raises(LinkError, match="another network"):
            _ask(_client(port, links.manifest(tail="1"), token=b"secret"), links.manifest(tail="1"), links.latent(0))
        assert _ask(_client(port, description, token=b"secret"), description, links.latent(0)).shape == (1, 4)


def test_a_server_is_not_opened_to_the_network_without_a_token() -> None:
    with pytest.raises(EdgecError, match="EC1205"), links.serving(links.manifest(), ServerSettings(host="0.0.0.0")):  # noqa: S104
        pass


def test_only_the_pinned_certificate_is_trusted(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not on PATH")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=edgec"]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()
    description = links.manifest()
    with links.serving(description, ServerSettings(tls=context)) as (_, port):
        client = _client(port, description, fingerprint=fingerprint)
        assert _ask(client, description, links.latent(1)).shape == (1, 4)
        client.close()
        with pytest.raises(LinkError, match="pinned"):
            _ask(_client(port, description, fingerprint="00" * 32), description, links.latent(1))


def test_a_header_that_announces_too_much_is_refused_before_the_payload() -> None:
    description = links.manifest()
    with links.serving(description) as (_, port), socket.create_connection(("127.0.0.1", port)) as link:
        link.sendall(pack(Header(Kind.HELLO, 1, description.identity, 0)))
        assert parse_header(link.recv(64)[:60], 100).kind is Kind.HELLO
        huge = Header(Kind.REQUEST, 2, description.identity, 2**32 - 1)
        link.sendall(pack(huge)[:60])
        answer = link.recv(1000)
        assert parse_failure(answer[60:-4]).failure is Failure.TOO_LARGE
        assert link.recv(1) == b""


def test_no_wrong_answer_and_no_hang_over_a_link_that_fails_in_every_way() -> None:
    description, timeout_s = links.manifest(), 0.3
    with links.serving(description) as (_, port):
        link = links.SpoiltLink(port, trouble=0.15, seed=0)
        policy = FallbackPolicy(local_ms=1e6, deadline_ms=1e6, rest_s=0.0, longest_rest_s=0.0)
        session = SplitSession(
            description,
            lambda inputs: dict(inputs),
            _client(link.port, description, timeout_s=timeout_s),
            policy,
            lambda inputs: {"scores": links.scores(inputs["latent"])},
        )
        where = []
        for number in range(300):
            latent = links.latent(number)
            inference = session.run({"latent": latent})
            assert np.array_equal(inference.outputs["scores"], links.scores(latent))
            assert inference.elapsed_ms < 30e3, "it hangs"
            where.append(inference.where)
        link.close()
    assert {Where.SERVER, Where.DEVICE} == set(where)


def test_bytes_that_are_no_frames_do_not_harm_the_server() -> None:
    description = links.manifest()
    random = np.random.default_rng(0)
    with links.serving(description, ServerSettings(frame_s=0.2, idle_s=0.2)) as (_, port):
        for number in range(100):
            with socket.create_connection(("127.0.0.1", port)) as link:
                good = pack(Header(Kind.HELLO, 1, description.identity, 0))
                noise = random.integers(0, 256, int(random.integers(1, 300)), dtype=np.uint8).tobytes()
                link.sendall((good if number % 2 else b"") + noise)
        client = _client(port, description)
        assert _ask(client, description, links.latent(3)).shape == (1, 4)
        client.close()


def test_the_layout_of_a_header_is_the_documented_one() -> None:
    header = Header(Kind.RESPONSE, 7, bytes(range(16)), 3, shape=(1, 2), server_us=9)
    frame = pack(header, b"abc")
    assert frame[:8] == b"EDGS\x01\x03\x00\x02"
    assert struct.unpack_from("<Q", frame, 8) == (7,)
    assert frame[16:32] == bytes(range(16))
    assert struct.unpack_from("<6I", frame, 32) == (1, 2, 0, 0, 9, 3)
    assert frame[60:63] == b"abc"
    assert parse_header(frame[:60], 3) == header


def test_what_is_asked_before_a_request_is_part_of_its_time_out() -> None:
    """The server answers an empty frame late and then nothing: the device answers after one time-out, not two."""
    description, listener = links.manifest(), socket.create_server(("127.0.0.1", 0))

    def slow() -> None:
        link, _ = listener.accept()
        with link:
            link.recv(4096)
            link.sendall(pack(Header(Kind.HELLO, 1, description.identity, 0)))
            link.recv(4096)
            time.sleep(0.6)
            link.sendall(pack(Header(Kind.PROBE, 2, description.identity, 0)))
            time.sleep(3.0)

    threading.Thread(target=slow, daemon=True).start()
    session = SplitSession(
        description,
        dict,
        _client(listener.getsockname()[1], description, timeout_s=1.0),
        FallbackPolicy(local_ms=1e6, deadline_ms=1e6),
        lambda inputs: {"scores": links.scores(inputs["latent"])},
    )
    inference = session.run({"latent": links.latent(0)})
    listener.close()
    assert inference.where is Where.DEVICE
    assert inference.elapsed_ms < 1500
