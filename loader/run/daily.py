"""The daily job: land, build, verify; one run at a time, each step tried again as a whole."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from threading import Timer
from typing import Any

from loader.declared.windows import span
from loader.errors import LeaseHeldError, LoaderError, StoppedError
from loader.load.backlog import Backlog, Order, Show, may_pass
from loader.load.job import Route, now, unexpected
from loader.run.build import Build, Dbt, build_arguments
from loader.run.lease import Claim, Lease, kept
from loader.verify.compare import compare
from loader.verify.finding import Finding
from loader.warehouse import Warehouse
from loader.warehouse.stop import Stop

_WAIT_SECONDS = 2
_LEFT = "what it had not published yet is as it was"


class Run:
    """A run under way, and what is known of it so far.

    Attributes:
        outcome: `succeeded`, `failed`, `interrupted`, or `refused` because another run goes on.
        exit_status: what the command ends with.
        said: sentences for the report.
        steps: what became of each step.
        findings: what verify has found.
        declared: what the dbt project declares of ages and summaries.
        stop: asks it to end before its time.
    """

    def __init__(
        self, order: Order, route: Route, stop: Stop, show: Show, tell: Callable[[str], None]
    ) -> None:
        """Prepare a run; nothing is touched yet.

        Args:
            show: shows how some jobs go on.
            tell: called with a sentence, or with a command as a person would type it.
        """
        self.order = order
        self.route = replace(route, new_warehouse=self._new_warehouse)
        self._any_warehouse = route.new_warehouse
        self.began = now()
        self.outcome = "failed"
        self.exit_status = 1
        self.said = list[str]()
        self.steps = list[dict[str, Any]]()
        self.backlog = Backlog(order, self.route)
        self.build: Build | None = None
        self.findings = list[Finding]()
        self.declared: dict[str, Any] = {}
        self.stop = stop
        self._show = show
        self._tell = tell

    def do(self) -> None:
        """Go through every step, whatever comes of it."""
        try:
            order = self.order
            with Dbt(order.dbt_target, self.stop, order.log, order.run_id) as dbt:
                if self._all_steps(dbt):
                    self.outcome, self.exit_status = "succeeded", 0
        except LeaseHeldError as held:
            self.outcome, self.exit_status = "refused", held.exit_status
        except StoppedError as stopped:
            self.give_up(stopped)
        except Exception as error:  # such as a terminal that is gone
            self.said.append(unexpected(error, _LEFT).fact)

    def give_up(self, stopped: StoppedError) -> None:
        """Note what has ended the run before its time."""
        self.said.append(stopped.fact)
        self.outcome = "interrupted" if stopped.by_signal else "failed"
        self.exit_status = stopped.exit_status

    def _all_steps(self, dbt: Dbt) -> bool:
        """Take the lease, land, build; returns whether all went well.

        Tables that could not be landed do not keep the others' summaries from being built.
        """
        order, days = self.order, self.order.backfill
        claim = Claim(
            run_id=order.run_id,
            start_date=days.start if days else None,
            end_date=days.end if days else None,
            now=self.began,
            resume=order.resume,
        )
        lease = Lease(claim, self.route.new_warehouse, self.stop)
        if not self._step("lease", lambda: self._take(lease)):
            return False
        with kept(lease):
            dbt.parse()  # while the tables are landed
            landed = self._step("land", lambda: self._land(lease.landing_since))
            with self._limited("parse"):
                self.declared = dbt.answer()
            failed = self.backlog.failed
            if not landed and len(failed) in (0, len(order.tables)):
                return False
            only = [table.name for table in order.tables] if order.selected else []
            arguments = build_arguments(order.dates, only, failed)
            self.build = build = Build(dbt, arguments, self.declared)
            built = self._step("build", lambda: self._build(build, lease))
            verified = built and self._step("verify", self._verify)
            lease.outcome = "succeeded" if landed and verified else "failed"
        return landed and verified

    def _new_warehouse(self) -> Warehouse:
        """Make a warehouse whose landings look at this run's lease."""
        warehouse = self._any_warehouse()
        warehouse.run_id = self.order.run_id
        # When the run is to end there is little time to say that it did.
        warehouse.answer_seconds = min(warehouse.answer_seconds, max(self.stop.left / 3, 1))
        return warehouse

    def _step(self, name: str, attempt: Callable[[], None]) -> bool:
        """Go through one step, again after a while if it failed for a reason that may pass.

        Returns:
            Whether it succeeded.

        Raises:
            LeaseHeldError, StoppedError: the run is not to go on.
        """
        settings = self.route.settings.run
        began, attempts = time.monotonic(), 0
        error: LoaderError | None = None
        try:
            while True:
                attempts += 1
                with self._limited(name, began):
                    error = self._error_of(attempt)
                if not error or not may_pass(error) or attempts > settings.retries:
                    return error is None
                self.say(
                    f"{name}: trying again in {settings.retry_seconds} s "
                    f"({attempts} of {settings.retries}): {error.fact}"
                )
                self.stop.sleep(settings.retry_seconds)
        except (LeaseHeldError, StoppedError) as ended:
            error = ended
            raise
        finally:
            if error or name != "lease":
                self.steps.append(
                    {
                        "name": name,
                        "ok": not error,
                        "attempts": attempts,
                        "seconds": round(time.monotonic() - began, 3),
                        "error": error.fact if error else None,
                        "remedy": error.remedy if error else None,
                    }
                )

    @contextmanager
    def _limited(self, name: str, began: float | None = None) -> Iterator[None]:
        """Ask the run to end if a step takes too long, whatever it waits for."""
        seconds = self.route.settings.run.step_seconds
        too_long = StoppedError(
            f"{name} took longer than {seconds:,} seconds, and was ended; {_LEFT}.",
            "See what it waited for; LOADER_STEP_SECONDS says how long a step may take.",
        )
        spent = time.monotonic() - began if began else 0
        timer = Timer(max(seconds - spent, 0), self.stop.ask, [too_long])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _error_of(self, attempt: Callable[[], None]) -> LoaderError | None:
        """Make an attempt and return its error, if a run can go on after it."""
        try:
            attempt()
            self.stop.check()
        except (LeaseHeldError, StoppedError):
            raise
        except LoaderError as error:
            self.stop.check()  # then this error is but the end of what was under way
            return error
        except Exception as error:
            return unexpected(error, _LEFT)
        return None

    def _take(self, lease: Lease) -> None:
        """Take the lease, or wait a while for the run that holds it."""
        until = time.monotonic() + self.order.wait
        while True:
            try:
                return lease.take(self.say)
            except LeaseHeldError:
                if time.monotonic() >= until:
                    raise
            self.stop.sleep(_WAIT_SECONDS)

    def _land(self, since: datetime) -> None:
        with closing(self.route.new_warehouse()) as warehouse:
            warehouse.prepare()
            self.backlog.plan(warehouse, since)
        self.backlog.attempt(self._show, self.said.append)

    def _build(self, build: Build, lease: Lease) -> None:
        """Build, with the lease confirmed: a run that lost it publishes nothing more."""
        lease.renew()
        build.attempt(self._tell)

    def _verify(self) -> None:
        """Compare what was landed with the source; what differs is told, and fails no run.

        A row that was deleted in MySQL differs until somebody says what is to become of it.
        """
        self.findings = []
        for table in self.order.tables:
            windows = self.backlog.landed(table)
            if not windows:
                continue
            finding = compare(
                table, self.route.settings, self.route.new_warehouse, span(windows)
            ).finding
            self.findings.append(finding)
            if error := finding.error:
                if may_pass(error):
                    raise error
                self.say(f"verify of {table.name}: {error.fact.removeprefix(f'{table.name}: ')}")
            elif finding.differing:
                self.say(
                    f"{table.name}: {finding.missing:,} rows missing, {finding.extra:,} too many, "
                    f"{finding.stale:,} stale. Look: loader verify --select {table.name}"
                )

    def say(self, sentence: str) -> None:
        """Say a sentence to whoever looks on, and keep it for the report."""
        self.said.append(sentence)
        self._tell(sentence)
