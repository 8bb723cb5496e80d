"""One run at a time for each target: a lease in the warehouse, renewed while the run goes on.

The lease is a row of `raw_data._leases` that has not ended and has not expired; rows that have
ended are the history that a backfill is resumed by. Only the warehouse's clock counts.
"""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from threading import Event, Thread

from loader.errors import LandingError, LeaseHeldError, LoaderError, StoppedError
from loader.source.read_plan import LOCK
from loader.warehouse import Warehouse
from loader.warehouse.ledger import LEASES
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
_LOOK_SECONDS = 1


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A run that asks for the lease.

    Attributes:
        start_date, end_date: the range of a backfill.
        now: the loader's clock, which the ledger has; a backfill's loads are those since then.
        resume: go on with the last backfill of that range, if it did not succeed.
    """

    run_id: str
    start_date: date | None
    end_date: date | None
    now: datetime
    resume: bool = False


class Lease:
    """The right to run, as long as it is renewed.

    Attributes:
        landing_since: when the backfill that this run is, or goes on with, began to land.
        outcome: what the history is to say of the run; its end sets it.
    """

    def __init__(self, claim: Claim, new_warehouse: Callable[[], Warehouse], stop: Stop) -> None:
        self.claim = claim
        self.landing_since = claim.now
        self.outcome = "failed"
        self._new_warehouse = new_warehouse
        self._stop = stop
        self._ended = Event()
        self._renewed_at = 0.0

    def take(self, say: Callable[[str], None]) -> None:
        """Take the lease, or that of a run that has died.

        Args:
            say: told of a lease that was taken over, and of a backfill that is gone on with.

        Raises:
            LeaseHeldError: another run holds it.
            LandingError: the warehouse cannot be asked.
        """
        with closing(self._new_warehouse()) as warehouse:
            warehouse.prepare({LEASES: _COLUMNS, LOCK + LEASES: {"held": "integer"}})
            with warehouse.transaction():
                relation = warehouse.relation(LEASES)
                _keep_others_out(warehouse)
                for dead in _holders(warehouse):
                    say(f"The lease of {dead} had expired; it was taken over.")
                warehouse.execute(
                    f"update {relation} set ended_at = expires_at, outcome = 'lost' "
                    "where ended_at is null"
                )
                if self.claim.resume:
                    self.landing_since = self._since(warehouse, say)
                self._insert(warehouse)
        self._renewed_at = time.time()

    def _since(self, warehouse: Warehouse, say: Callable[[str], None]) -> datetime:
        """When the backfill to go on with began; now, if there is none."""
        days = (self.claim.start_date, self.claim.end_date)
        runs = warehouse.execute(
            f"select run_id, landing_since, outcome from {warehouse.relation(LEASES)} "
            "where start_date = %s and end_date = %s order by taken_at desc limit 1",
            days,
        )
        for run_id, since, outcome in runs:
            if outcome != "succeeded":
                say(f"Going on where run {run_id} left off.")
                found: datetime = since
                return found
        say(f"There is no backfill from {days[0]} to {days[1]} to go on with.")
        return self.claim.now

    def _insert(self, warehouse: Warehouse) -> None:
        claim = self.claim
        warehouse.execute(
            f"insert into {warehouse.relation(LEASES)} "
            "(run_id, host, process, start_date, end_date, landing_since, taken_at, expires_at) "
            f"values (%s, %s, %s, %s, %s, %s, {warehouse.clock}, {_expiry(warehouse)})",
            (
                claim.run_id,
                socket.gethostname(),
                os.getpid(),
                claim.start_date,
                claim.end_date,
                self.landing_since,
            ),
        )

    def renew(self) -> None:
        """Prolong the lease; one that had expired, too, if nobody took it.

        Raises:
            StoppedError: another run has taken it over.
            LandingError: the warehouse cannot be asked.
        """
        asked_at = time.time()
        with closing(self._new_warehouse()) as warehouse, warehouse.transaction():
            warehouse.answer_seconds = min(warehouse.answer_seconds, BEAT_SECONDS)
            warehouse.execute(f"set statement_timeout to {BEAT_SECONDS * 1000}")
            relation = warehouse.relation(LEASES)
            ours = "where run_id = %s and ended_at is null"
            warehouse.execute(
                f"update {relation} set expires_at = {_expiry(warehouse)} {ours}",
                (self.claim.run_id,),
            )
            left = warehouse.execute(f"select 1 from {relation} {ours}", (self.claim.run_id,))
        if not left:
            raise lease_lost("another run has taken it over")
        self._renewed_at = asked_at

    def keep(self) -> None:
        """Renew the lease until it ends; ask the run to stop when it is lost.

        The clock on the wall is looked at every second, because it alone goes on while a laptop
        sleeps: the lease is asked for before the run has done much after it has woken up.
        """
        while not self._ended.wait(_LOOK_SECONDS) and not self._stop.event.is_set():
            since = time.time() - self._renewed_at
            if 0 <= since < BEAT_SECONDS:
                continue
            try:
                self.renew()
            except StoppedError as lost:
                self._stop.ask(lost)
            except LoaderError as error:
                if since >= LEASE_SECONDS:
                    self._stop.ask(lease_lost(f"it could not be renewed: {error.fact}"))

    def give_back(self) -> None:
        """End the lease, if the warehouse can be reached; else it expires."""
        self._ended.set()
        with (
            suppress(LandingError),
            closing(self._new_warehouse()) as warehouse,
            warehouse.transaction(),
        ):
            warehouse.execute(
                f"update {warehouse.relation(LEASES)} set ended_at = {warehouse.clock}, "
                "outcome = %s where run_id = %s and ended_at is null",
                (self.outcome, self.claim.run_id),
            )


@contextmanager
def kept(lease: Lease) -> Iterator[None]:
    """Renew a lease that was taken, in a thread of its own, and give it back at the end."""
    thread = Thread(target=lease.keep, name="lease", daemon=True)
    thread.start()
    try:
        yield
    except StoppedError as stopped:
        lease.outcome = "interrupted" if stopped.by_signal else "failed"
        raise
    finally:
        lease.give_back()
        thread.join(_LOOK_SECONDS)


def _keep_others_out(warehouse: Warehouse) -> None:
    """Wait until nobody else takes the lease, and no transaction relies on one that it looked at.

    Raises:
        LeaseHeldError: one goes on for long.
    """
    warehouse.execute(f"set statement_timeout to {BEAT_SECONDS * 1000}")
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


def _holders(warehouse: Warehouse) -> list[str]:
    """The runs that have neither ended nor given the lease back: all of them dead.

    Raises:
        LeaseHeldError: one of them is not.
    """
    runs = warehouse.execute(
        f"select run_id, host, process, taken_at, expires_at, expires_at > {warehouse.clock} "
        f"from {warehouse.relation(LEASES)} where ended_at is null order by taken_at"
    )
    told = list[str]()
    for run_id, host, process, taken_at, expires_at, is_alive in runs:
        who = f"run {run_id} (process {process} on {host}, since {taken_at:%Y-%m-%d %H:%M:%S} UTC)"
        if is_alive:
            raise LeaseHeldError(
                f"{warehouse.profile.place} has the lease of {who}, until "
                f"{expires_at:%H:%M:%S} UTC unless it is renewed; nothing was touched.",
                "Wait for that run to end, or let this one wait: loader run --wait SECONDS.",
            )
        told.append(who)
    return told


def _expiry(warehouse: Warehouse) -> str:
    return f"{warehouse.clock} + interval '{LEASE_SECONDS} seconds'"
