"""Metrics in the format of Prometheus."""

import prometheus_client as prometheus

# Bucket bounds of histograms, in seconds and in texts.
SECONDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300)
TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of requests, batches and adaptations of one service.

    No label names a tenant or a task.
    """

    def __init__(self):
        self.registry = registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter(
            "metaflax_requests",
            "Requests by route and status.",
            ("method", "route", "status"),
            registry=registry,
        )
        self.request_seconds = prometheus.Histogram(
            "metaflax_request_seconds",
            "Duration of requests.",
            ("method", "route"),
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_texts = prometheus.Histogram(
            "metaflax_batch_texts",
            "Texts of a forward pass of the encoder.",
            buckets=TEXTS,
            registry=registry,
        )
        self.batch_requests = prometheus.Histogram(
            "metaflax_batch_requests",
            "Requests that share a forward pass of the encoder.",
            buckets=TEXTS,
            registry=registry,
        )
        self.adaptation_seconds = prometheus.Histogram(
            "metaflax_adaptation_seconds",
            "Duration of adaptations.",
            buckets=SECONDS,
            registry=registry,
        )
        self.waiting_texts = prometheus.Gauge(
            "metaflax_waiting_texts",
            "Texts of predictions that wait for the encoder.",
            registry=registry,
        )

    def count_batch(self, num_texts: int, num_requests: int) -> None:
        """Counts a forward pass of the encoder."""
        self.batch_texts.observe(num_texts)
        self.batch_requests.observe(num_requests)

    def page(self) -> bytes:
        """Formats all metrics."""
        return prometheus.generate_latest(self.registry)
