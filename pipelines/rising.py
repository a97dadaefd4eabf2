"""Whether a training's loss is rising for good, told apart from noise."""

from __future__ import annotations

from collections import deque
from statistics import median

WINDOW = 20
PATIENCE = 20


class RisingLoss:
    """Sees one loss after the other and says when they have left their best behind for good.

    The median of the last WINDOW losses is held against a limit: 1.5 times the lowest such median
    so far plus 0.5, or, where that is lower, 2.5 times the first loss plus 1. It must stand above
    the limit PATIENCE times on end. A burst of fewer than WINDOW / 2 losses doesn't move a median.
    The first loss counts because a run that diverges within a few steps never has a low median to
    compare with. The added constants keep quiet where the loss is close to nought and that of an
    odd batch is many times the usual.
    """

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=WINDOW)
        self._first: float | None = None
        self._best = float("inf")
        self._above = 0

    def see(self, loss: float) -> str | None:
        """What to say of the rise, once there is one; None while all is well. `loss` is finite."""
        if self._first is None:
            self._first = loss
        self._last.append(loss)
        if len(self._last) < WINDOW:
            return None
        now = median(self._last)
        self._best = min(self._best, now)
        limit = min(1.5 * self._best + 0.5, 2.5 * self._first + 1)
        self._above = self._above + 1 if now > limit else 0
        if self._above < PATIENCE:
            return None
        return (
            f"the median of the last {WINDOW} losses, {now:.3g}, stands above {limit:.3g} "
            f"for {PATIENCE} records (the first loss was {self._first:.3g}, "
            f"the lowest median {self._best:.3g})"
        )
