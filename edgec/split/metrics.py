"""What a server of split networks counts, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_REQUESTS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "edgec_split_requests", "Requests by how they ended.", ["result"], registry=self.registry
        )
        self.seconds = Histogram(
            "edgec_split_request_seconds",
            "From a request's arrival to its answer.",
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.batch = Histogram(
            "edgec_split_batch_requests", "Requests that ran together.", buckets=_REQUESTS, registry=self.registry
        )
        self.received_bytes = Counter("edgec_split_received_bytes", "Payloads received.", registry=self.registry)
        self.sent_bytes = Counter("edgec_split_sent_bytes", "Payloads sent.", registry=self.registry)
        self.connections = Gauge("edgec_split_connections", "Open connections.", registry=self.registry)
        self.waiting = Gauge("edgec_split_waiting_requests", "Requests that wait.", registry=self.registry)

    def serve(self, host: str, port: int) -> None:
        """Answer `GET /metrics` on an address, in a thread of its own.

        Raises:
            OSError: the address cannot be listened on.
        """
        start_http_server(port, addr=host, registry=self.registry)
