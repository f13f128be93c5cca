"""Processes retrain requests: one training serves all requests that wait for a monitor."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.heartbeat import heartbeat
from jobs.interruption import raise_if_interrupted
from jobs.reading.source import Source
from jobs.store import ClaimedRequest, ServedRequest, Store
from jobs.store.requests import RETRY_DELAYS
from jobs.training.train import TrainingOrder, TrainingReport, train_monitor
from schemas.config import Config
from schemas.errors import LostRequest, PlumblineError, SourceAway, StoreError


@dataclass(frozen=True)
class RequestOutcome:
    """The outcome of one claimed request; other waiting requests of its monitor share it.

    Attributes:
        request_id: the claimed request.
        monitor: its monitor.
        state: done, failed, put off until the next attempt, or lost to another worker.
        training: the report; None unless the request is done.
        message: a sentence for people.
    """

    request_id: int
    monitor: str
    state: str
    training: TrainingReport | None
    message: str


def work_requests(
    config: Config,
    store: Store,
    open_source: Callable[[str], Source],
    clock: Callable[[], datetime],
    claimant: str = "",
    *,
    only: str | None = None,
) -> list[RequestOutcome]:
    """Train every monitor for which a request waits, or only one, each once, and close the requests.

    A training that fails closes its requests as failed, and the next monitor has its turn. If the source cannot be
    reached, the requests are put off instead, at growing intervals.
    A process that may be killed by another names itself as the claimant, so that the other can release its claims.

    Raises:
        StoreError: If the store is away; the request is picked up again once its lease has run out.
    """
    store.requests.fail_unknown(config.monitors, clock())
    round_ = _TrainingRound(config, store, open_source, clock)
    outcomes = []
    for name in config.monitors if only is None else [only]:
        monitor = config.monitor(name)
        claim = store.requests.claim(name, clock(), monitor.lease, claimant, monitor.channels)
        if claim is not None:
            outcomes.append(round_.serve(claim))
    return outcomes


@dataclass(frozen=True)
class _TrainingRound:
    """Trainings for the requests of several monitors, one after another."""

    config: Config
    store: Store
    open_source: Callable[[str], Source]
    clock: Callable[[], datetime]

    def serve(self, claim: ClaimedRequest) -> RequestOutcome:
        """Train for a request, and close it, unless another worker has claimed it meanwhile."""
        try:
            return self._serve(claim)
        except LostRequest as exc:
            return RequestOutcome(claim.id, claim.monitor, "lost", None, str(exc))

    def _serve(self, claim: ClaimedRequest) -> RequestOutcome:
        try:
            with heartbeat(lambda: self._renew(claim), self.config.monitor(claim.monitor).lease / 3):
                report = self._train_uninterrupted(claim)
        except (LostRequest, StoreError):  # without the store, the request is tried again once the lease has run out
            raise
        except SourceAway as exc:
            return self._put_off(claim, str(exc))
        except Exception as exc:  # noqa: BLE001 - the request records it, and the next monitor has its turn
            return self._failed(claim, str(exc) if isinstance(exc, PlumblineError) else f"{type(exc).__name__}: {exc}")
        except BaseException:
            with suppress(LostRequest):
                self.store.requests.release(claim)
            raise
        return RequestOutcome(claim.id, claim.monitor, "done", report, f"{report.role} {report.reason}")

    def _train_uninterrupted(self, claim: ClaimedRequest) -> TrainingReport:
        try:
            return self._train(claim)
        except Exception:
            raise_if_interrupted()  # some libraries turn an interrupt into an error of their own
            raise

    def _put_off(self, claim: ClaimedRequest, message: str) -> RequestOutcome:
        """Put off a training whose source is away, or give it up after the last attempt."""
        attempts, all_attempts = claim.failures + 1, len(RETRY_DELAYS) + 1
        if attempts >= all_attempts:
            return self._failed(claim, f"Given up after {attempts} attempts. {message}")
        until = self.clock() + RETRY_DELAYS[claim.failures]
        next_attempt = f"The next one is due at {until.astimezone(UTC):%Y-%m-%d %H:%M} UTC."
        message = f"Attempt {attempts} of {all_attempts} failed. {next_attempt} {message}"
        self.store.requests.put_off(claim, message, until)
        return RequestOutcome(claim.id, claim.monitor, "put off", None, message)

    def _failed(self, claim: ClaimedRequest, message: str) -> RequestOutcome:
        self.store.requests.fail(claim, message, self.clock(), self.config.monitor(claim.monitor).channels)
        return RequestOutcome(claim.id, claim.monitor, "failed", None, message)

    def _train(self, claim: ClaimedRequest) -> TrainingReport:
        monitor = self.config.monitor(claim.monitor)
        order = TrainingOrder(monitor.retrain.promote, ServedRequest(claim, monitor.channels))
        source = self.open_source(claim.monitor)
        return train_monitor(
            source, self.store, self.clock, order=order, progress=lambda _epoch: raise_if_interrupted()
        )

    def _renew(self, claim: ClaimedRequest) -> None:
        self.store.requests.renew(claim, self.clock(), self.config.monitor(claim.monitor).lease)
