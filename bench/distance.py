"""Servers that are far away: what is sent to them takes its time on the way."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

from bench.place import Place

_PIECE = 1 << 16


@contextmanager
def far_away(place: Place, seconds: float) -> Iterator[Place]:
    """Give the same place, whose MySQL and S3 get everything so many seconds later."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    def leading_to(port: int) -> int:
        begun = asyncio.start_server(partial(_carry_both_ways, port, seconds), "127.0.0.1", 0)
        server = asyncio.run_coroutine_threadsafe(begun, loop).result()
        found: int = server.sockets[0].getsockname()[1]
        return found

    near = place.endpoints
    env = {
        "LOADER_MYSQL_PORT": str(leading_to(near.mysql_port)),
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{leading_to(near.s3_port)}",
    }
    try:
        yield replace(place, endpoints=replace(near, env={**near.env, **env}))
    finally:
        asyncio.run_coroutine_threadsafe(_hang_up(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _hang_up() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)


async def _carry_both_ways(
    port: int, seconds: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.gather(_carry(reader, back, seconds), _carry(there, writer, 0))


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: float) -> None:
    """Pass on what arrives, each piece at its time, however many are on the way."""
    loop = asyncio.get_running_loop()
    while piece := await reader.read(_PIECE):
        loop.call_later(after, writer.write, piece)
    loop.call_later(after, writer.close)
