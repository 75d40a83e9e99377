"""Counts what becomes of video jobs, and records each sending of a webhook."""

from collections.abc import Iterator
from contextlib import contextmanager

from gateway.service.video_ports import Observe
from gateway.store.jobs import Attempt, Job
from gateway.store.outbox import DELIVERED, WAITING, Notice
from gateway.telemetry import names
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.record import Sending
from gateway.telemetry.recorder import Recorder


class JobMetrics(Observe):
    """Tells the metrics of accepted, attempted and finished jobs."""

    def __init__(self, metrics: Metrics, recorder: Recorder) -> None:
        self._metrics = metrics
        self._recorder = recorder

    def job_accepted(self, job: Job) -> None:  # noqa: ARG002 - of the protocol
        """A new job."""
        self._metrics.count(names.VIDEO_JOBS, "accepted", "")

    def job_cached(self, job: Job) -> None:  # noqa: ARG002 - of the protocol
        """A job that nobody had to make."""
        self._metrics.count(names.VIDEO_JOBS, "cached", "")

    def job_attempt(self, job: Job, attempt: Attempt) -> None:  # noqa: ARG002 - of the protocol
        """An attempt began or changed; counted when it ended."""
        if attempt.ended_at is not None:
            self._metrics.count(names.VIDEO_ATTEMPTS, attempt.target, attempt.error_code or "")

    def job_finished(self, job: Job) -> None:
        """A job is completed or failed."""
        target = job.attempts[-1].target if job.attempts else ""
        self._metrics.count(names.VIDEO_JOBS, job.state, target)
        if job.completed_at is not None:
            self._metrics.video.at((target, job.state)).observe(job.completed_at - job.created_at)

    @contextmanager
    def sending(self, notice: Notice) -> Iterator[Sending]:
        """A webhook is being sent."""
        sending = self._recorder.sending(notice.url, notice.tries + 1, notice.trace)
        try:
            yield sending
        finally:
            self._recorder.sent(sending)

    def webhook_sent(self, notice: Notice) -> None:
        """A webhook was delivered, failed for now, or is given up."""
        result = "failed" if notice.state == WAITING else notice.state
        self._metrics.count(names.WEBHOOKS, result)
        if notice.state == DELIVERED and notice.delivered_at is not None:
            self._metrics.webhook_lag.at(()).observe(notice.delivered_at - notice.created_at)
