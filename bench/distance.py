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
    """Give the same place, whose MySQL and S3 hear later; answers come at once.

    So each request takes that much longer. Connecting does not, and as much as ever fits through.

    Args:
        seconds: how much later.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    near = place.endpoints
    servers = list[asyncio.Server]()

    def way_to(port: int) -> int:
        begun = asyncio.start_server(partial(_carry_both_ways, port, seconds), "127.0.0.1", 0)
        servers.append(asyncio.run_coroutine_threadsafe(begun, loop).result())
        found: int = servers[-1].sockets[0].getsockname()[1]
        return found

    try:
        env = {
            "LOADER_MYSQL_PORT": str(way_to(near.mysql_port)),
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{way_to(near.s3_port)}",
        }
        yield replace(place, endpoints=replace(near, env={**near.env, **env}))
    finally:
        asyncio.run_coroutine_threadsafe(_hang_up(servers), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _hang_up(servers: list[asyncio.Server]) -> None:
    for server in servers:
        server.close()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await asyncio.sleep(0)  # what was closed is let go of in the loop's next turn


async def _carry_both_ways(
    port: int, seconds: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    there, back = await asyncio.open_connection("127.0.0.1", port)
    try:
        await asyncio.gather(_carry(reader, back, seconds), _carry(there, writer, 0))
    finally:
        back.close()
        writer.close()


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, after: float) -> None:
    """Pass on what arrives, each piece at its time, however many are on the way."""
    loop = asyncio.get_running_loop()
    while piece := await reader.read(_PIECE):
        loop.call_later(after, writer.write, piece)
    await asyncio.sleep(after)
    writer.close()
