"""Asking a teacher about many rows at once: one writer, a cost that is kept to, a stop heeded."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

from pipelines.attempts import Attempt, AttemptLog
from pipelines.engines.openai_server import ChatEndpoint
from pipelines.schema import EndpointError, StopRequested
from pipelines.teaching import fits_layout, judge, teacher_messages
from pipelines.template import GuardTemplate
from pipelines.widening import WideRow

logger = logging.getLogger(__name__)

OF_THE_ROW = frozenset({400, 413, 422})
"""Refusals that may be about this conversation alone: too long, or filtered for its content."""
REFUSED_AT_FIRST = 10
DRAIN_SECONDS = 30.0
BYTES_PER_TOKEN = 2.0
"""Fewer than any usual text has, so that what a request may cost is never thought too low."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How rows are asked about. Prices are for a million tokens; `max_cost` 0 is no limit."""

    tries: int = 3
    parallel: int = 4
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int = 2048
    price_in: float = 0.0
    price_out: float = 0.0
    max_cost: float = 0.0

    def most(self, row: WideRow, template: GuardTemplate) -> float:
        """What one request about this row may cost at most."""
        chat = teacher_messages(row, template)
        read = sum(len(message["content"].encode()) for message in chat) / BYTES_PER_TOKEN
        return (read * self.price_in + self.max_tokens * self.price_out) / 1e6


class Asking:
    """One run over the rows that the log has not settled yet."""

    def __init__(
        self,
        endpoint: ChatEndpoint,
        template: GuardTemplate,
        log: AttemptLog,
        terms: Terms,
        should_stop: Callable[[], bool],
    ) -> None:
        self._endpoint, self._template, self._log = endpoint, template, log
        self._terms, self._should_stop = terms, should_stop
        self._ended = threading.Event()
        self._running: dict[Future[Attempt], tuple[WideRow, float]] = {}

    def run(self, rows: Sequence[WideRow], report: Callable[[], None]) -> bool:
        """Asks until each row is settled, with `report` after each attempt; False where the
        next request could cost more than is allowed.

        Raises StopRequested and EndpointError; all finished attempts are in the log.
        """
        tries = self._terms.tries
        pending = deque(r for r in rows if not self._log.settled(r.example.row_id, tries))
        with ThreadPoolExecutor(self._terms.parallel, "teacher") as pool:
            try:
                while pending or self._running:
                    self._fill(pool, pending)
                    if not self._running:
                        return not pending
                    wait(self._running, 0.2, FIRST_COMPLETED)
                    for row in self._collect(report):
                        pending.append(row)
                    if self._should_stop():
                        raise StopRequested(f"stopped after {self._log.count:,} attempts")
                return True
            except EndpointError:
                self._drain(report)
                raise
            finally:
                self._ended.set()

    def _fill(self, pool: ThreadPoolExecutor, pending: deque[WideRow]) -> None:
        """Starts as many requests as may run at once and can be paid for."""
        while pending and len(self._running) < self._terms.parallel:
            row = pending[0]
            if not fits_layout(row.example, self._template):
                row_id = pending.popleft().example.row_id
                self._log.add(Attempt(row_id, reason="layout", final=True))
                continue
            most = self._terms.most(row, self._template)
            reserved = sum(cost for _, cost in self._running.values())
            spent = self._log.cost(self._terms.price_in, self._terms.price_out)
            if self._terms.max_cost and spent + reserved + most > self._terms.max_cost:
                return
            pending.popleft()
            self._running[pool.submit(self._attempt, row)] = (row, most)

    def _collect(self, report: Callable[[], None]) -> list[WideRow]:
        """Writes down what has been answered; returns the rows to be asked about again."""
        again = []
        for future in [one for one in self._running if one.done()]:
            row, _ = self._running.pop(future)
            attempt = future.result()
            self._log.add(attempt)
            report()
            if not self._log.settled(attempt.row_id, self._terms.tries):
                again.append(row)
            if self._log.reasons["refused"] == self._log.count >= REFUSED_AT_FIRST:
                raise EndpointError(
                    f"each of the first {self._log.count} requests was refused; the last: "
                    f"{attempt.detail}",
                    status=400,
                )
        return again

    def _drain(self, report: Callable[[], None]) -> None:
        """Another request failed for good; those that are still answered were paid for."""
        done, _ = wait(self._running, 0 if self._should_stop() else DRAIN_SECONDS)
        for future in done:
            if future.exception() is None:
                self._log.add(future.result())
                report()

    def _attempt(self, row: WideRow) -> Attempt:
        """One request; in a thread of the pool. Raises EndpointError and StopRequested."""
        row_id, terms = row.example.row_id, self._terms
        try:
            done = self._endpoint.complete(
                teacher_messages(row, self._template),
                temperature=terms.temperature,
                top_p=terms.top_p,
                max_tokens=terms.max_tokens,
                should_stop=lambda: self._ended.is_set() or self._should_stop(),
            )
        except EndpointError as error:
            if error.status not in OF_THE_ROW:
                raise
            return Attempt(row_id, reason="refused", detail=str(error), final=True)
        if terms.max_cost and not (done.prompt_tokens or done.completion_tokens):
            raise EndpointError(
                f"endpoint={self._endpoint.base_url}: tells no token counts",
                status=200,
                advice="Without them no cost can be counted: set max_cost=0 to go on.",
            )
        judged = judge(done.texts[0], done.ended[0], row, self._template)
        if judged.reason:
            logger.info("%s: %s %s", row_id, judged.reason, judged.detail)
        return Attempt(
            row_id,
            done.texts[0],
            judged.output,
            judged.reason,
            judged.detail,
            done.prompt_tokens,
            done.completion_tokens,
        )
