"""One run at a time for each target: a lease in the warehouse, renewed while the run goes on.

The lease is a row of `raw_data._leases` that has not ended and has not expired; rows that have
ended are the history that a backfill is resumed by. Only the warehouse's clock counts.
"""

import os
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress
from threading import Event, Thread

from loader.declared.windows import Window
from loader.errors import LandingError, LeaseHeldError, StoppedError
from loader.load.job import now
from loader.source.read_plan import LOCK
from loader.warehouse import Warehouse
from loader.warehouse.ledger import LEASES, RUN_COLUMNS, RUNS
from loader.warehouse.session import QUERY_CANCELED, sqlstate
from loader.warehouse.stop import Stop, lease_lost

_COLUMNS = {
    "run_id": "varchar(64) not null",
    "host": "varchar(255)",
    "process": "integer",
    "start_date": "date",
    "end_date": "date",
    "landing_since": "timestamp",
    "taken_at": "timestamp not null",
    "expires_at": "timestamp not null",
    "ended_at": "timestamp",
    "outcome": "varchar(16)",
}
LEASE_SECONDS = 180
"""How long a run that has died keeps others out."""
BEAT_SECONDS = 30
"""How often a lease is renewed, so that a warehouse that is slow for a while costs no run."""
_OURS = "where run_id = %s and ended_at is null"


class Lease:
    """The right to run, as long as it is renewed.

    Attributes:
        landing_since: when the backfill that this run is, or goes on with, began to land; by the
            loader's clock, which the ledger has.
    """

    def __init__(
        self,
        run_id: str,
        new_warehouse: Callable[[], Warehouse],
        stop: Stop,
        backfill: Window | None = None,
    ) -> None:
        self.landing_since = now()
        self._run_id = run_id
        self._days = (backfill.start, backfill.end) if backfill else (None, None)
        self._new_warehouse = new_warehouse
        self._stop = stop
        self._ended = Event()
        self._renewed_at = 0.0

    def take(self, say: Callable[[str], None], resume: bool = False) -> list[str]:
        """Take the lease, or that of a run that has died, of which a row of `_runs` then tells.

        Args:
            say: called with a sentence on a backfill that is resumed.
            resume: go on with the last backfill of the range, if it did not succeed.

        Returns:
            The runs that have died, described.

        Raises:
            LeaseHeldError: another run holds it.
            LandingError: the warehouse cannot be asked.
        """
        with closing(self._new_warehouse()) as warehouse:
            own = {LEASES: _COLUMNS, LOCK + LEASES: {"held": "integer"}, RUNS: RUN_COLUMNS}
            warehouse.prepare(own)
            with warehouse.transaction():
                relation, runs = warehouse.relation(LEASES), warehouse.relation(RUNS)
                _keep_others_out(warehouse)
                # An attempt whose COMMIT was not answered may have left this run's own.
                warehouse.execute(f"delete from {relation} where run_id = %s", (self._run_id,))
                dead = _dead_holders(warehouse)
                warehouse.execute(
                    f"insert into {runs} (run_id, started_at, ended_at, outcome, dbt_failures, "
                    "dbt_warnings, verify_findings, stale_tables) "
                    f"select run_id, taken_at, expires_at, 'died', 0, 0, 0, 0 from {relation} "
                    f"where ended_at is null and run_id not in (select run_id from {runs})"
                )
                warehouse.execute(
                    f"update {relation} set ended_at = expires_at, outcome = 'lost' "
                    "where ended_at is null"
                )
                if resume:
                    self._resume(warehouse, say)
                warehouse.execute(
                    f"insert into {relation} (run_id, host, process, start_date, end_date, "
                    "landing_since, taken_at, expires_at) values "
                    f"(%s, %s, %s, %s, %s, %s, {warehouse.clock}, {_expiry(warehouse)})",
                    (self._run_id, socket.gethostname(), os.getpid(), *self._days,
                     self.landing_since),
                )  # fmt: skip
        self._renewed_at = time.time()
        return dead

    def _resume(self, warehouse: Warehouse, say: Callable[[str], None]) -> None:
        """Find when the backfill to go on with began."""
        runs = warehouse.execute(
            f"select run_id, landing_since, outcome from {warehouse.relation(LEASES)} "
            "where start_date = %s and end_date = %s "
            "order by taken_at desc, ended_at desc limit 1",  # clocks may show whole seconds
            self._days,
        )
        if not runs or runs[0][2] == "succeeded":
            start, end = self._days
            say(f"There is no backfill from {start} to {end} to go on with.")
            return
        ((run_id, self.landing_since, _),) = runs
        say(f"Going on where run {run_id} left off.")

    def renew(self) -> None:
        """Prolong the lease; one that had expired, too, if nobody took it.

        Raises:
            StoppedError: another run has taken it over.
            LandingError: the warehouse cannot be asked.
        """
        asked_at = time.time()
        with closing(self._new_warehouse()) as warehouse, warehouse.transaction():
            warehouse.answer_seconds = min(warehouse.answer_seconds, BEAT_SECONDS)
            warehouse.execute(f"set local statement_timeout to {BEAT_SECONDS * 1000}")
            relation = warehouse.relation(LEASES)
            expires = f"expires_at = {_expiry(warehouse)}"
            warehouse.execute(f"update {relation} set {expires} {_OURS}", (self._run_id,))
            left = warehouse.execute(f"select 1 from {relation} {_OURS}", (self._run_id,))
        if not left:
            raise lease_lost("another run has taken it over")
        self._renewed_at = asked_at

    def keep(self) -> None:
        """Renew the lease, once taken, in a thread of its own until it is given back."""
        Thread(target=self._keep, name="lease", daemon=True).start()

    def _keep(self) -> None:
        """Renew the lease until it ends; ask the run to stop when it is lost."""
        while not self._ended.wait(BEAT_SECONDS) and not self._stop.because:
            try:
                self.renew()
            except StoppedError as lost:
                self._stop.ask(lost)
            except Exception as error:
                if time.time() - self._renewed_at >= LEASE_SECONDS:
                    why = getattr(error, "fact", type(error).__name__)
                    self._stop.ask(lease_lost(f"it could not be renewed: {why}"))

    def give_back(self, outcome: str) -> bool:
        """End a lease that was taken, if the warehouse can be reached; else it expires.

        Args:
            outcome: what became of the run, for the history.

        Returns:
            Whether nobody has to wait until it expires.
        """
        self._ended.set()
        if not self._renewed_at:
            return True
        with suppress(Exception), closing(self._new_warehouse()) as warehouse:
            ended = f"set ended_at = {warehouse.clock}, outcome = %s"
            update = f"update {warehouse.relation(LEASES)} {ended} {_OURS}"
            with warehouse.transaction():
                warehouse.execute(update, (outcome, self._run_id))
            return True
        return False


def _keep_others_out(warehouse: Warehouse) -> None:
    """Wait until nobody else takes the lease and no transaction relies on one that it looked at."""
    warehouse.execute(f"set local statement_timeout to {BEAT_SECONDS * 1000}")
    try:
        for table in (LOCK + LEASES, LEASES):
            relation = warehouse.relation(table)
            warehouse.execute(warehouse.keep_writers_out.format(relation=relation))
    except LandingError as error:
        if sqlstate(error) != QUERY_CANCELED:
            raise
        raise LeaseHeldError(
            f"A landing or a publish in {warehouse.profile.place} holds the lease of another run "
            f"for longer than {BEAT_SECONDS} seconds; nothing was touched.",
            "Wait for it to end, or let this run wait: loader run --wait SECONDS.",
        ) from None


def _dead_holders(warehouse: Warehouse) -> list[str]:
    """Describe the runs that have died: their leases have expired and were not given back."""
    runs = warehouse.execute(
        f"select run_id, host, process, taken_at, expires_at, expires_at > {warehouse.clock} "
        f"from {warehouse.relation(LEASES)} where ended_at is null order by taken_at"
    )
    dead = list[str]()
    for run_id, host, process, taken_at, expires_at, is_alive in runs:
        who = f"run {run_id} (process {process} on {host}, since {taken_at:%Y-%m-%d %H:%M:%S} UTC)"
        if is_alive:
            raise LeaseHeldError(
                f"{warehouse.profile.place} has the lease of {who}, until "
                f"{expires_at:%H:%M:%S} UTC unless it is renewed; nothing was touched.",
                "Wait for that run to end, or until then if it was killed: loader run --wait 600.",
            )
        dead.append(who)
    return dead


def _expiry(warehouse: Warehouse) -> str:
    return f"{warehouse.clock} + interval '{LEASE_SECONDS} seconds'"
