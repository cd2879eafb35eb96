"""The verb `split serve`: answer requests with the tail of a split network."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgec.core.codes.split import LISTEN_FAILED
from edgec.core.errors import EdgecError
from edgec.core.manifest import check_integrity
from edgec.core.small_file import read_small_file
from edgec.split.manifest import read_split
from edgec.split.server import ServerSettings, SplitServer
from edgec.split.tail import Tail


@dataclass(frozen=True)
class ServeOptions:
    """How to serve.

    Attributes:
        folder: of the split network.
        host: address to listen on.
        port: 0 for any free one.
        token_file: holds what a client must present; None to admit everybody on this machine.
        certificate: PEM file; None for plain connections.
        key: PEM file of the certificate's key; None where the certificate's file holds it.
        metrics_port: where Prometheus reads; None for no metrics.
        threads: of one run of the tail.
        most_batch: requests of one run at most.
    """

    folder: Path
    host: str
    port: int
    token_file: Path | None
    certificate: Path | None
    key: Path | None
    metrics_port: int | None
    threads: int
    most_batch: int


def serve(options: ServeOptions, started: Callable[[int], None]) -> None:
    """Listen until interrupted.

    Args:
        options: how to serve.
        started: called with the port once requests are taken.

    Raises:
        EdgecError: EC0604 to EC0606 for a damaged folder, EC1203 for one of something else, EC1205 where the address
            cannot be listened on.
    """
    manifest = read_split(options.folder)
    check_integrity(options.folder)
    settings = ServerSettings(
        host=options.host,
        port=options.port,
        token=read_token(options.token_file),
        tls=_certificate(options.certificate, options.key),
        most_batch=options.most_batch,
    )
    server = SplitServer(manifest, Tail(options.folder, manifest, options.threads).run, settings)
    if options.metrics_port is not None:
        try:
            server.metrics.serve(options.host, options.metrics_port)
        except OSError as error:
            where = f"--metrics-port {options.metrics_port}"
            raise EdgecError(LISTEN_FAILED, str(error), where=where, hint=LISTEN_FAILED.remedy) from error
    asyncio.run(server.serve(started))


def read_token(path: Path | None) -> bytes:
    """The token in a file, without the line end that editors add; empty without a file.

    Raises:
        EdgecError: EC1205 where the file cannot be read or is empty.
    """
    if path is None:
        return b""
    try:
        token = read_small_file(path).rstrip(b"\r\n")
    except OSError as error:
        raise EdgecError(LISTEN_FAILED, str(error), where=f"--token-file {path}", hint=LISTEN_FAILED.remedy) from error
    if not token:
        hint = "write a long random text to it, such as `openssl rand -hex 32` prints"
        raise EdgecError(LISTEN_FAILED, "the token is empty", where=f"--token-file {path}", hint=hint)
    return token


def _certificate(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        where = f"--certificate {certificate}"
        raise EdgecError(LISTEN_FAILED, str(error), where=where, hint=LISTEN_FAILED.remedy) from error
    return context
