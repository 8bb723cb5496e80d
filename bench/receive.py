"""The wire's limit: everything is received and nothing is looked at.

`python -m bench.receive TABLE ...`
"""

import os
import sys
from typing import Any

import pymysql

from bench.tables import DATABASE

_END = b"\x05\0\0"  # how a packet of five bytes begins, such as the one that ends the rows
_RECEIVE = 1 << 18


def main() -> None:
    """Receive whole tables."""
    connection = pymysql.connect(
        host="127.0.0.1",
        port=int(os.environ["LOADER_MYSQL_PORT"]),
        user=os.environ["LOADER_MYSQL_USER"],
        password=os.environ["LOADER_MYSQL_PASSWORD"],
        charset="utf8mb4",
    )
    driver: Any = connection
    for table in sys.argv[1:]:
        connection.query(f"select * from {DATABASE}.{table}", unbuffered=True)
        tail, received = b"", 0
        while not (tail[:3] == _END and tail[4:5] == b"\xfe"):
            piece = driver._rfile.read1(_RECEIVE)
            received += len(piece)
            tail = (tail + piece[-9:])[-9:]
        driver._result.unbuffered_active = False
        print(f"{table}: {received:,} bytes")


if __name__ == "__main__":
    main()
