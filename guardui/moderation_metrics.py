"""What Prometheus reads at `/metrics`: requests, verdicts, failures, the queue, tokens.

Every label has a fixed set of values: nothing that a caller writes becomes one.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.schema import GuardTask

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Counter, Histogram, Metric

    from guardui.live import Live
    from guardui.moderation import Decision

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
NOT_APPLICABLE = "n/a"


class Metrics:
    """Counters in a registry of their own; those of the queue are read when asked for."""

    def __init__(self, live: Live) -> None:
        self.live = live

    @cached_property
    def registry(self) -> CollectorRegistry:
        from prometheus_client import CollectorRegistry, disable_created_metrics

        disable_created_metrics()  # a second series for each counter, which nobody asks for
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Queue(self.live))
        return registry

    @cached_property
    def _requests(self) -> Counter:
        from prometheus_client import Counter

        about = "HTTP requests answered, by route and status (499: the caller hung up)."
        return Counter("guardui_requests", about, ["route", "status"], registry=self.registry)

    @cached_property
    def _latency(self) -> Histogram:
        from prometheus_client import Histogram

        about = "Seconds from a request's arrival to the end of its answer."
        return Histogram(
            "guardui_request_seconds", about, ["route"], buckets=SECONDS, registry=self.registry
        )

    @cached_property
    def _verdicts(self) -> Counter:
        from prometheus_client import Counter

        about = "Verdicts given to programs, by task and label (none: unread or not said)."
        return Counter("guardui_verdicts", about, ["task", "label"], registry=self.registry)

    @cached_property
    def _failures(self) -> Counter:
        from prometheus_client import Counter

        about = "Answers to programs that could not be read, by mode."
        return Counter("guardui_parse_failures", about, ["mode"], registry=self.registry)

    @cached_property
    def _decisions(self) -> Counter:
        from prometheus_client import Counter

        about = "Conversations that programs had decided, by decision."
        return Counter("guardui_decisions", about, ["decision"], registry=self.registry)

    @cached_property
    def _tokens(self) -> Counter:
        from prometheus_client import Counter

        about = "Tokens written in answers to programs."
        return Counter("guardui_answer_tokens", about, registry=self.registry)

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Counts a request to one of our routes, by its path as the router has it."""
        self._requests.labels(route, str(status)).inc()
        self._latency.labels(route).observe(seconds)

    def decided(self, decision: Decision) -> None:
        """Counts a decision and its verdicts."""
        self._decisions.labels("blocked" if decision.blocked else "allowed").inc()
        for task in GuardTask:
            label = decision.verdict.label(task) or "none"
            said = label if decision.applies(task) else NOT_APPLICABLE
            self._verdicts.labels(task.value, said).inc()
        if decision.failure:
            self._failures.labels(decision.asked.mode).inc()
        self._tokens.inc(decision.verdict.tokens)

    def text(self) -> bytes:
        """All of it as Prometheus reads it."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


class _Queue:
    """What the moderators do now, and have done for the page and for programs together."""

    def __init__(self, live: Live) -> None:
        self.live = live

    def collect(self) -> Iterator[Metric]:
        """Read when Prometheus asks."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

        load = self.live.load()
        for name, about, value in (
            ("waiting", "Moderations that wait for their turn.", load.waiting),
            ("running", "Moderations that a model is at.", load.running),
        ):
            yield GaugeMetricFamily(f"guardui_moderations_{name}", about, value)
        for name, about, done in (
            ("moderations", "Moderations with a verdict, of the page's too.", load.moderations),
            ("batches", "Passes of a model that moderated something together.", load.batches),
            ("tokens", "Tokens written, for the page too.", load.tokens),
        ):
            yield CounterMetricFamily(f"guardui_{name}", about, done)
