"""The daily job: land, build, verify; one run at a time, each step tried again as a whole."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any

from loader.declared.tables import Table
from loader.declared.windows import Dates, Window
from loader.errors import LeaseHeldError, LoaderError, RunError, StoppedError, unexpected
from loader.load.job import Job, Outcome, Route, Watcher, now
from loader.load.jobs import in_steps, is_landed, jobs_for, run_jobs
from loader.run.comparing import rows_failed_on, say_what_changed, verify
from loader.run.dbt import Dbt, build_arguments, reading
from loader.run.lease import Lease
from loader.run.news import News
from loader.run.report import prepare
from loader.verify.finding import Finding
from loader.warehouse import Warehouse
from loader.warehouse.session import is_transient

_WAIT_SECONDS = 2
_LEFT = "what it had not published yet is as it was"


@dataclass(kw_only=True)
class Run:
    """A run: what is asked of it, and what is known of it so far.

    Attributes:
        dbt_target: the profile's target, if it was asked for by name.
        selected: whether the tables are fewer than are declared.
        requested: the window of the dates; None means catch-up.
        step: land a range by `day` or `month`, one after the other; None lands it as one window.
        resume: leave out what an unfinished backfill of the same range has landed.
        wait: how many seconds to wait for another run to end.
        checks: what dbt's tests look at: `all` rows, or the `new` ones and what these touch.
        log: the file that dbt's output goes to; None for the terminal.
        verbose: whether all of it goes there, or what failed and what it warns of.
        show: shows how some jobs go on.
        tell: called with a sentence, or with a command as a person would type it.
        outcome: `succeeded`, `failed`, `interrupted`, or `refused` because another run goes on.
        exit_status: what the command ends with.
        died: the runs whose leases it has taken over.
        has_lease: whether it holds the lease, after its end, too, if it could not give it back.
        said: sentences for the report.
        steps: what became of each step.
        jobs: what is to be landed; None before that is known.
        outcomes: the last outcome of each job that was begun, by table and window.
        news: what came since the last build; None before the step that builds.
        findings: what verify has found.
    """

    run_id: str
    target: str
    dbt_target: str | None
    tables: Sequence[Table]
    selected: bool
    dates: Dates
    requested: Window | None
    threads: int
    step: str | None
    resume: bool
    wait: int
    checks: str
    log: Path | None
    verbose: bool
    route: Route
    show: Callable[[Sequence[Job]], AbstractContextManager[Watcher]]
    tell: Callable[[str], None]
    began: datetime = field(default_factory=now)
    outcome: str = "failed"
    exit_status: int = 1
    died: list[str] = field(default_factory=list)
    has_lease: bool = False
    said: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    jobs: Sequence[Job] | None = None
    outcomes: dict[tuple[str, Window], Outcome] = field(default_factory=dict)
    news: News | None = None
    findings: list[Finding] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stop = self.route.stop
        self.dbt = Dbt(self.dbt_target, self.stop, self.log, self.run_id, self.checks)
        self._any_warehouse = self.route.new_warehouse
        self.route = replace(self.route, new_warehouse=self._new_warehouse)

    def do(self) -> None:
        """Go through every step, whatever comes of it."""
        backfill = self.requested if self.dates.start_date else None
        lease = Lease(self.run_id, self.route.new_warehouse, self.stop, backfill)
        try:
            # Who is notified of a run is told, too, that it cannot be reported.
            can_report = self._step("report", lambda: prepare(self.route.settings.run.reports))
            if can_report and self._step("lease", lambda: self._take(lease)):
                lease.keep()
                if self._land_build_verify(lease):
                    self.outcome, self.exit_status = "succeeded", 0
        except LeaseHeldError as held:
            self.outcome, self.exit_status = "refused", held.exit_status
        except StoppedError as stopped:
            self.give_up(stopped)
        except Exception as error:  # such as a terminal that is gone
            self.said.append(unexpected(error, left=_LEFT).fact)
        finally:
            self.has_lease = not lease.give_back(self.outcome)

    def give_up(self, stopped: StoppedError) -> None:
        """Note what has ended the run before its time."""
        self.said.append(stopped.fact)
        self.outcome = "interrupted" if stopped.by_signal else "failed"
        self.exit_status = stopped.exit_status

    def _land_build_verify(self, lease: Lease) -> bool:
        """Go through the steps that the lease is held for; returns whether all went well.

        Tables that could not be landed do not keep the others' summaries from being built.
        """
        landed = self._step("land", lambda: self._land(lease))
        failed = self._failed
        if not landed and len(failed) in (0, len(self.tables)):
            return False
        built = self._step("build", lambda: self._build(lease))
        for table, days in rows_failed_on(self):
            self._step("compare", partial(say_what_changed, self, table, days))
        if failed and (held := self.dbt.readers(failed)):
            self.say(f"Left as they were, because of {', '.join(failed)}: {', '.join(held)}")
        return built and self._step("verify", lambda: verify(self)) and landed

    def say(self, sentence: str) -> None:
        """Say a sentence to whoever looks on, and keep it for the report."""
        self.said.append(sentence)
        self.tell(sentence)

    def _new_warehouse(self) -> Warehouse:
        """Make a warehouse whose landings look at this run's lease."""
        warehouse = self._any_warehouse()
        warehouse.run_id = self.run_id
        # When the run is to end there is little time to say that it did.
        warehouse.answer_seconds = min(warehouse.answer_seconds, max(self.stop.left / 3, 1))
        return warehouse

    # -- the steps -------------------------------------------------------------------------------

    def _take(self, lease: Lease) -> None:
        """Take the lease, or wait a while for the run that holds it."""
        began, said = time.monotonic(), False
        while True:
            try:
                self.died, self.has_lease = lease.take(self.say, self.resume), True
                for dead in self.died:
                    self.say(f"The lease of {dead} had expired; it was taken over.")
                return
            except LeaseHeldError as error:
                if time.monotonic() >= began + self.wait:
                    raise
                if not said:
                    self.say(f"Waiting for up to {self.wait:g} s. {error.fact}")
                said = True
            self.stop.sleep(_WAIT_SECONDS)

    def _due(self, lease: Lease) -> list[Job]:
        """Ask the ledger what there is to land."""
        with closing(self.route.new_warehouse()) as warehouse:
            warehouse.prepare()
            say, mode = None if self.selected or self.requested else self.say, self.dates.mode
            jobs = list(jobs_for(self.tables, self.requested, mode, warehouse, say))
            loads = warehouse.loads() if self.resume else []
        if self.step:
            jobs = [each for job in jobs for each in in_steps(job, self.step)]
        loads = [load for load in loads if load.started_at >= lease.landing_since]
        return [job for job in jobs if not is_landed(job, loads)]

    def _land(self, lease: Lease) -> None:
        """Land what is due, or what is left of it; a table stops at its first window that fails."""
        if self.jobs is None:
            self.jobs = self._due(lease)
        for key, outcome in list(self.outcomes.items()):
            if outcome.error and is_transient(outcome.error):
                del self.outcomes[key]
        ended, failed = self.outcomes.keys(), self._failed
        left = [
            job
            for job in self.jobs
            if (job.table.name, job.window) not in ended and job.table.name not in failed
        ]
        with self.show(left) as watcher:

            def done(outcome: Outcome) -> None:
                self.outcomes[outcome.job.table.name, outcome.job.window] = outcome
                watcher.done(outcome)
                if isinstance(outcome.error, StoppedError):
                    self.stop.ask(outcome.error)

            run_jobs(left, self.route, self.threads, replace(watcher, say=self.say, done=done))
        self.stop.check()
        if errors := [each.error for each in self.outcomes.values() if each.error]:
            # Each table's own was told when it failed.
            is_one = len({error.fact for error in errors}) == 1
            raise RunError(
                f"Not landed: {', '.join(self._failed)}.{f' {errors[0].fact}' if is_one else ''}",
                errors[0].remedy if is_one else "Mend what each one's message names.",
                transient=any(is_transient(error) for error in errors),
            )

    @property
    def _failed(self) -> list[str]:
        """The tables that could not be landed."""
        return [table for (table, _), outcome in self.outcomes.items() if outcome.error]

    def _build(self, lease: Lease) -> None:
        """Build, with the lease confirmed: a run that lost it publishes nothing more."""
        lease.renew()
        chosen = [reading(table.name) for table in self.tables] if self.selected else []
        if self.news is None:
            self.news = News(self.dbt, self.target, self.route.new_warehouse)
        if not self.selected and self.checks == "new" and not self.dates.full_refresh:
            chosen = self.news.selectors
            self.dbt.environment["LOADER_BUILDS"] = "news" if chosen else "all"
        with self.show(()) as watcher:
            arguments = build_arguments(chosen, self._failed, self.checks)
            arguments += ["--full-refresh"] if self.dates.full_refresh else []
            self.dbt.build(arguments, watcher, self.verbose)
        if not (self.selected or self._failed):
            self.news.note()

    def _step(self, name: str, attempt: Callable[[], None]) -> bool:
        """Go through one step, again after a while if it failed for a reason that may pass.

        One that takes too long asks the run to end, whatever it waits for. Returns whether it
        succeeded.
        """
        settings, began, attempts = self.route.settings.run, time.monotonic(), 0
        too_long = StoppedError(
            f"{name} took longer than {settings.step_seconds:,} seconds, and was ended; {_LEFT}.",
            "See what it waited for; LOADER_STEP_SECONDS says how long a step may take.",
        )
        timer = Timer(settings.step_seconds, self.stop.ask, [too_long])
        timer.daemon = True
        timer.start()
        error: LoaderError | None = None
        try:
            while True:
                attempts += 1
                error = self._error_of(attempt)
                if not error or not is_transient(error) or attempts > settings.retries:
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
            timer.cancel()
            if error or name not in ("report", "lease"):
                self.steps.append({
                    "name": name, "ok": not error, "attempts": attempts,
                    "seconds": round(time.monotonic() - began, 3),
                    "error": error and error.fact, "remedy": error and error.remedy,
                })  # fmt: skip

    def _error_of(self, attempt: Callable[[], None]) -> LoaderError | None:
        """Make an attempt and return its error, if a run can go on after it."""
        error = None
        try:
            attempt()
        except (LeaseHeldError, StoppedError):
            raise
        except Exception as caught:
            error = unexpected(caught, left=_LEFT)
        self.stop.check()  # an error is then but the end of what was under way
        return error
