"""What a warehouse's message says of an error that has lost its code: may it pass by itself?

dbt keeps the text of a driver's error and nothing else.
"""

import re

# Redshift reports a conflict as an internal error whose whole message is 1023, its detail after
# it. Two tables or types that are made at the same time break the catalog's own keys.
# [Redshift: Serializable isolation; PostgreSQL: System Catalogs]
_PASSING = re.compile(
    r"""(?x)
    ^\s* (?: ERROR:\  )? 1023\b | conflict\ with\ concurrent\ transaction
    | serializable\ isolation\ violation | violates\ unique\ constraint\ "pg_
    | could\ not\ serialize\ access | deadlock\ detected
    | connection\ (?: refused | reset | timed\ out | already\ closed | is\ closed | not\ open )
    | server\ closed\ the\ connection | connection\ has\ been\ closed | lost\ connection
    | terminating\ connection | starting\ up | shutting\ down | in\ recovery\ mode
    | too\ many\ (?: clients | connections ) | remaining\ connection\ slots
    | time[d]?\ out | timeout\ expired | broken\ ?pipe | socket\ closed | communication\ error
    | temporary\ failure\ in\ name\ resolution | network\ is\ unreachable
    """,
    re.IGNORECASE | re.MULTILINE,
)


def is_transient_text(text: str) -> bool:
    """Whether a message tells of another transaction, or of a server that was away for a while.

    >>> is_transient_text("1023 Serializable isolation violation on table - 119371, transactions")
    True
    >>> is_transient_text("value 1023 is out of range")
    False
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
    return bool(_PASSING.search(text))
