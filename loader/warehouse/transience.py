"""What a warehouse's message says of an error that has lost its code: may it pass by itself?

dbt keeps the text of a driver's error and nothing else.
"""

import re

_PASSING = re.compile(
    r"""(?x)
    could\ not\ serialize\ access | deadlock\ detected
    | connection\ (?: refused | reset | timed\ out | already\ closed | is\ closed | not\ open )
    | server\ closed\ the\ connection | connection\ has\ been\ closed | lost\ connection
    | terminating\ connection | starting\ up | shutting\ down | in\ recovery\ mode
    | too\ many\ (?: clients | connections ) | remaining\ connection\ slots
    | time[d]?\ out | timeout\ expired | broken\ ?pipe | socket\ closed | communication\ error
    | temporary\ failure\ in\ name\ resolution | network\ is\ unreachable
    """,
    re.IGNORECASE,
)


def is_conflict(text: str) -> bool:
    """Whether another transaction was in the way.

    Redshift reports that as an internal error whose whole message is 1023, its detail after it.
    [Redshift: Serializable isolation]

    >>> is_conflict("1023 Serializable isolation violation on table - 119371, transactions ...")
    True
    >>> is_conflict("value 1023 is out of range")
    False
    """
    return bool(
        re.search(r"(?m)^\s*(ERROR: )?1023\b|conflict with concurrent transaction", text)
        or "Serializable isolation violation" in text
        # Two tables or types that are made at the same time. [PostgreSQL: System Catalogs]
        or 'violates unique constraint "pg_' in text
    )


def is_transient_text(text: str) -> bool:
    """Whether a message tells of a conflict, or of a server that was away for a while.

    >>> is_transient_text("server closed the connection unexpectedly")
    True
    >>> is_transient_text("('communication error', BrokenPipeError(32, 'Broken pipe'))")
    True
    >>> is_transient_text("BrokenPipe: server socket closed. We noticed a timeout is set ...")
    True
    >>> is_transient_text('password authentication failed for user "pipeline"')
    False
    >>> is_transient_text('numeric field overflow in relation "sockets"')
    False
    """
    return is_conflict(text) or bool(_PASSING.search(text))
