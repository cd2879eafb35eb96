"""Frames that nobody meant: the wire format, the server, the client and the entropy coder under random bytes.

    python -m benchmarks.split_fuzz --minutes 10

Valid frames and payloads are cut, repeated, filled with random bytes, given flipped bits, and given headers with right
checksums and wrong fields. Reading them may fail in the documented way and in no other, with no more memory at once
than the limit that the receiver declares and a fixed allowance; the server answers an honest client after every round.
"""

from __future__ import annotations

import argparse
import json
import random
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np

from edgec.core.errors import EdgecError
from edgec.split.client import LinkError, Server, SplitClient
from edgec.split.entropy_coder import EntropyCoder
from edgec.split.server import ServerSettings
from edgec.split.tensors import PayloadCoding
from edgec.split.wire import HEADER_BYTES, FrameError, Header, Kind, checked_payload, pack, parse_header
from tests.split import links

_ALLOWANCE_BYTES = 256 * 1024
"""What Python and numpy may need beside a payload."""
_CONVERSATION_FRAMES = 4


class Mutator:
    """Frames and payloads, and what can become of them; seeded."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311  # repeatable on purpose
        self.manifest = links.manifest()
        self.coding = PayloadCoding(self.manifest)

    def frame(self) -> bytes:
        """A frame: valid, with wrong fields under right checksums, or spoilt."""
        draw = self.random
        payload = self.payload()
        kind = draw.choice(list(Kind))
        identity = self.manifest.identity if draw.random() < 0.9 else draw.randbytes(16)
        shape = self.coding.shape if draw.random() < 0.8 else tuple(draw.choices(range(2**32), k=draw.randrange(9)))
        header = Header(kind, draw.randrange(2**32), identity, len(payload), self.coding.coding, shape)
        frame = bytearray(pack(header, payload))
        if draw.random() < 0.3:
            place = draw.randrange(HEADER_BYTES - 4)
            frame[place] = draw.randrange(256)
            frame[HEADER_BYTES - 4 : HEADER_BYTES] = struct.pack("<I", zlib.crc32(frame[: HEADER_BYTES - 4]))
        return self.spoilt(bytes(frame)) if draw.random() < 0.5 else bytes(frame)

    def payload(self) -> bytes:
        """What an honest head sends, spoilt half of the time."""
        honest = self.coding.pack({"latent": links.latent(self.random.randrange(1000))})
        return self.spoilt(honest) if self.random.random() < 0.5 else honest

    def spoilt(self, data: bytes) -> bytes:
        """Bytes cut, lengthened, replaced, spliced, or with flipped bits."""
        draw, content = self.random, bytearray(data)
        way = draw.randrange(5)
        if way == 0:
            return data[: draw.randrange(len(data) + 1)]
        if way == 1:
            return data + draw.randbytes(draw.randrange(200))
        if way == 2:
            return draw.randbytes(draw.randrange(300))
        if way == 3:
            start = draw.randrange(len(content) + 1)
            return bytes(content[:start] + content[draw.randrange(len(content) + 1) :])
        for _ in range(draw.randrange(1, 6)):
            if content:
                content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        return bytes(content)


class Memory:
    """The most that one call took, in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit, self.most, self.above = limit, 0, 0

    def watch(self, call: Callable[[], object], expected: tuple[type[Exception], ...]) -> str:
        """Call something that may fail in an expected way; how it ended."""
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        try:
            call()
            ended = "read"
        except expected as error:
            ended = type(error).__name__
        taken = tracemalloc.get_traced_memory()[1] - before
        self.most = max(self.most, taken)
        self.above += taken > self.limit
        return ended


def fuzz_reading(mutator: Mutator, memory: Memory, until: float) -> Counter[str]:
    """Headers, payloads and entropy-coded bytes, without a connection."""
    ended: Counter[str] = Counter()
    most = mutator.coding.most_bytes
    tables = mutator.manifest.tables
    coder = EntropyCoder(tables) if tables is not None else None
    tracemalloc.start()
    while time.monotonic() < until:
        frame, payload = mutator.frame(), mutator.payload()

        def read(frame: bytes = frame) -> None:
            if len(frame) < HEADER_BYTES:
                return
            header = parse_header(frame[:HEADER_BYTES], most)
            rest = frame[HEADER_BYTES : HEADER_BYTES + header.payload_bytes + 4]
            if len(rest) == header.payload_bytes + 4:
                mutator.coding.unpack(checked_payload(rest), header.coding, header.shape)

        def decode(payload: bytes = payload) -> None:
            if coder is not None:
                latent = coder.decode(payload, links.LATENT.shape[1:])
                if coder.encode(latent) != payload:
                    raise SystemExit("two payloads decode to one latent")

        ended[f"frame: {memory.watch(read, (FrameError,))}"] += 1
        ended[f"payload: {memory.watch(decode, (EdgecError,))}"] += 1
    tracemalloc.stop()
    return ended


def fuzz_server(mutator: Mutator, until: float) -> Counter[str]:
    """Conversations with a server, each followed now and then by an honest request, which must be answered rightly."""
    ended: Counter[str] = Counter()
    description = mutator.manifest
    with links.serving(description, ServerSettings(frame_s=0.2, idle_s=0.2)) as (_, port):
        while time.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0) as link:
                if mutator.random.random() < 0.8:
                    link.sendall(pack(Header(Kind.HELLO, 1, description.identity, 0)))
                for _ in range(mutator.random.randrange(1, _CONVERSATION_FRAMES)):
                    link.sendall(mutator.frame())
                link.shutdown(socket.SHUT_WR)
                link.settimeout(2.0)
                while link.recv(4096):
                    pass
            ended["conversations with the server"] += 1
            if ended["conversations with the server"] % 50 == 0:
                _ask_honestly(mutator, port)
                ended["honest requests answered"] += 1
    return ended


def _ask_honestly(mutator: Mutator, port: int) -> None:
    client = SplitClient(Server("127.0.0.1", port), mutator.manifest, 10.0)
    latent = links.latent(mutator.random.randrange(1000))
    reply = client.ask(mutator.coding.pack({"latent": latent}), mutator.coding.coding, mutator.coding.shape)
    if not np.array_equal(np.frombuffer(reply.payload, "<f4"), links.scores(latent).ravel()):
        raise SystemExit("the server gave a wrong answer")
    client.close()


def fuzz_client(mutator: Mutator, until: float) -> Counter[str]:
    """A client whose server talks nonsense: it fails in the documented way, within its time-out."""
    ended: Counter[str] = Counter()
    description, timeout_s = mutator.manifest, 0.3
    listener = socket.create_server(("127.0.0.1", 0))
    hello = pack(Header(Kind.HELLO, 1, description.identity, 0))

    def talk() -> None:
        with suppress(OSError):
            while True:
                link, _ = listener.accept()
                with suppress(OSError), link:
                    link.recv(4096)
                    link.sendall(hello if mutator.random.random() < 0.8 else mutator.frame())
                    link.recv(4096)
                    link.sendall(b"".join(mutator.frame() for _ in range(2)))

    threading.Thread(target=talk, daemon=True).start()
    while time.monotonic() < until:
        client = SplitClient(Server("127.0.0.1", listener.getsockname()[1]), description, timeout_s)
        began = time.monotonic()
        try:
            client.ask(mutator.payload(), mutator.coding.coding, mutator.coding.shape)
            name = "answer"
        except (LinkError, FrameError) as error:
            name = type(error).__name__
        if time.monotonic() - began > timeout_s + 0.5:
            ended["client: later than its time-out"] += 1
        ended[f"client: {name}"] += 1
        client.close()
    listener.close()
    return ended


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="also write what was found to a file")
    given = parser.parse_args()
    mutator, began = Mutator(given.seed), time.monotonic()
    memory = Memory(mutator.coding.most_bytes + _ALLOWANCE_BYTES)
    third = 60 * given.minutes / 3
    ended = fuzz_reading(mutator, memory, began + third)
    ended += fuzz_server(mutator, began + 2 * third)
    ended += fuzz_client(mutator, began + 3 * third)
    report = {"seconds": round(time.monotonic() - began), "most_bytes_at_once": memory.most, "limit": memory.limit}
    found = {**report, "above_the_limit": memory.above, **ended}
    print(json.dumps(found))
    if given.out is not None:
        given.out.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
