"""The addresses of a host, found within a time-out: the system's own look-up knows none."""

from __future__ import annotations

import queue
import socket
import threading

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]]
"""A family and what `socket.connect` takes in it."""


class AddressLookup:
    """Looks up one host, again whenever it is asked.

    Args:
        host: name or address.
        port: of the server.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._found: queue.SimpleQueue[list[Address] | OSError] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def addresses(self, timeout_s: float) -> list[Address]:
        """At least one address, the preferred first.

        A look-up that takes longer goes on beside the program, and the next call waits for it and begins no other.

        Raises:
            TimeoutError: it takes longer than the time-out.
            OSError: the host is not known.
        """
        if self._thread is None:
            # The interpreter does not wait for a daemon when it ends, as it would for an executor's thread.
            self._thread = threading.Thread(target=self._look_up, daemon=True)
            self._thread.start()
        try:
            found = self._found.get(timeout=max(timeout_s, 0.0))
        except queue.Empty as error:
            raise TimeoutError(f"the name {self._host} was not found within the time-out") from error
        self._thread = None
        if isinstance(found, OSError):
            raise found
        return found

    def _look_up(self) -> None:
        try:
            entries = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
            self._found.put([(family, address) for family, _, _, _, address in entries])
        except UnicodeError as error:
            self._found.put(OSError(f"{self._host} is no name of a host: {error}"))
        except OSError as error:
            self._found.put(error)
