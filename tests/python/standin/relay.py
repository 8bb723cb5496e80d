"""The stand-in's server: Redshift's side of the wire, with PostgreSQL behind it.

Half duplex is enough: the driver sends messages up to Sync and waits. Every statement is a named
prepared statement that may be bound again, so that what depends on the session's state happens
when it is bound, not when it is parsed.
"""

import json
import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from scramp import ScramClient

from standin import copying, dialect, strict, wire

ROLE = "arn:aws:iam::123456789012:role/standin-copy"
_REFUSED = "42601"
_OWN_PARAMETERS = (
    "client_protocol_version", "driver_version", "os_version", "driver_discovery_version",
    "plugin_name", "idp_type",
)  # fmt: skip
_SHORT = {"character varying": "varchar", "timestamp without time zone": "timestamp"}
_SESSION = (
    "set standard_conforming_strings = off; set escape_string_warning = off; "
    "set backslash_quote = on; set timezone = 'UTC'; set standin.copy_count = '0'"
)


@dataclass(frozen=True)
class Logged:
    """One statement that a client ran.

    Attributes:
        session: a number for the connection.
        error: SQLSTATE, if it failed.
    """

    session: int
    text: str
    error: str = ""

    @property
    def verb(self) -> str:
        """Its first word."""
        return re.sub(r"(?s)/\*.*?\*/", "", self.text).split(None, 1)[0].lower().rstrip(";")


@dataclass
class Fault:
    """What is to go wrong, once.

    Attributes:
        pattern: of the statement that it happens at.
        code, text, detail: the error; the statement is not run.
        drop: end the connection instead, `before` or `after` the statement is run.
        action: called before the statement is run, and the statement goes on.
        times: how often it happens.
    """

    pattern: str
    code: str = ""
    text: str = ""
    detail: str = ""
    drop: str = ""
    action: Callable[[], None] | None = None
    times: int = 1


def conflict(pattern: str, **options: Any) -> Fault:
    """The error 1023 as drivers have reported it. [aws-sdk-pandas issue 665]."""
    detail = (
        "Serializable isolation violation on table - 119371, transactions forming the cycle are"
    )
    return Fault(pattern, code="XX000", text="1023", detail=f"{detail}: 1, 2 (pid:3)", **options)


@dataclass
class Standin:
    """A server on a port of its own.

    Attributes:
        backend: PostgreSQL's port; `password` is its administrator's.
        stage: an S3 client, with the rights of the cluster's role.
        temporary: passwords that IAM gave out, by user.
        cursor_bytes: how much a cursor's rows may be. [Redshift: DECLARE, "Cursor constraints"]
    """

    backend: int
    password: str
    stage: Any
    tls: ssl.SSLContext | None = None
    temporary: dict[str, str] = field(default_factory=dict)
    cursor_bytes: int = 8_000_000_000
    log: list[Logged] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    received: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._sessions += 1
            session = Session(self, connection, self._sessions)
            threading.Thread(target=session.serve, daemon=True).start()

    def note(self, logged: Logged, size: int) -> None:
        """Put a statement on the log."""
        with self._lock:
            self.log.append(logged)
            self.received += size

    def fault_at(self, statement: str) -> Fault | None:
        """The fault that is to happen at a statement, if any; it is then used up."""
        with self._lock:
            for fault in self.faults:
                if re.search(fault.pattern, statement, re.IGNORECASE | re.DOTALL):
                    fault.times -= 1
                    if not fault.times:
                        self.faults.remove(fault)
                    return fault
        return None

    def record_load_error(self, database: str, detail: Mapping[str, Any]) -> None:
        """Write a row of sys_load_error_detail, which no rollback takes back."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=self.backend, user="postgres", password=self.password,
            dbname=database,
        )  # fmt: skip
        with connection, connection.cursor() as cursor:
            places = ", ".join(["%s"] * len(detail))
            cursor.execute(
                f"insert into sys_load_error_detail ({', '.join(detail)}) values ({places})",
                tuple(detail.values()),
            )
        connection.close()


class DroppedError(Exception):
    """A fault ended the connection."""


class Session:
    """One client's connection."""

    def __init__(self, server: Standin, connection: socket.socket, number: int) -> None:
        self._server = server
        self._client = wire.Wire(connection)
        self._number = number
        self._statements: dict[str, str] = {}
        self._portals: dict[str, str] = {}
        self._status = b"I"
        self._given = 0  # bytes of the open cursor's rows
        self._database = ""
        self._backend: wire.Wire | None = None

    def serve(self) -> None:
        """Talk until one side goes."""
        try:
            if self._begin():
                while self._batch():
                    pass
        except (ConnectionError, OSError, DroppedError, ValueError):
            pass
        finally:
            self._client.close()
            if self._backend:
                self._backend.close()

    # -- the beginning of a connection -----------------------------------------------------------

    def _begin(self) -> bool:
        body = self._client.read_body()
        if struct.unpack("!i", body[:4])[0] == wire.SSL_REQUEST:
            if not self._server.tls:
                self._client.send(b"N")
                return False
            self._client.send(b"S")
            encrypted = self._server.tls.wrap_socket(self._client.socket, server_side=True)
            self._client = wire.Wire(encrypted)
            body = self._client.read_body()
        asked = wire.parameters_of(body)
        user, self._database = asked["user"], asked["database"]
        self._client.send(wire.message(b"R", struct.pack("!i", 3)))  # a password in clear text
        password = self._client.read()[1].rstrip(b"\0").decode()
        if user in self._server.temporary:
            if password != self._server.temporary[user]:
                self._client.send(
                    wire.error("28000", f'password authentication failed for "{user}"')
                )
                return False
            user, password = user.split(":", 1)[-1], "local"
        self._backend = wire.Wire(socket.create_connection(("127.0.0.1", self._server.backend)))
        parameters = {k: v for k, v in asked.items() if k not in _OWN_PARAMETERS}
        self._backend.send(wire.startup({**parameters, "user": user}))
        if not self._authenticate(user, password):
            return False
        self._simple(_SESSION)
        return True

    def _authenticate(self, user: str, password: str) -> bool:
        """Answer PostgreSQL's questions, and pass on what the client is to know."""
        scram = ScramClient(["SCRAM-SHA-256"], user, password)
        for kind, body in self._backend.answers():
            if kind == b"R":
                asked = struct.unpack("!i", body[:4])[0]
                if asked == 10:
                    first = scram.get_client_first().encode()
                    said = b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
                    self._backend.send(wire.message(b"p", said))
                elif asked == 11:
                    scram.set_server_first(body[4:].decode())
                    self._backend.send(wire.message(b"p", scram.get_client_final().encode()))
                elif asked == 12:
                    scram.set_server_final(body[4:].decode())
                else:
                    self._client.send(wire.message(kind, body))
                continue
            if kind == b"S" and body.startswith(b"server_version\0"):
                body = b"server_version\x008.0.2\0"
            self._client.send(wire.message(kind, body))
            if kind == b"E":
                return False
        return True

    # -- statements ------------------------------------------------------------------------------

    def _batch(self) -> bool:
        """Take messages up to Sync and answer them; False when the client says good-bye."""
        messages = []
        size = 0
        while True:
            kind, body = self._client.read()
            size += len(body)
            if kind == b"X":
                return False
            if kind == b"Q":
                raise ValueError("the driver sends no simple queries")
            if kind == b"S":
                break
            if kind != b"H":
                messages.append((kind, body))
        executed = [body for kind, body in messages if kind == b"E"]
        for kind, body in messages:
            if kind == b"P":
                (name, text), _ = wire.split(body, 2)
                self._statements[name] = text
            elif kind == b"B":
                (portal, name), _ = wire.split(body, 2)
                self._portals[portal] = name
        if executed:
            text = self._statements[self._portals[wire.split(executed[0], 1)[0][0]]]
            self._execute(text, messages, size)
        else:
            self._prepare(messages)
        return True

    def _prepare(self, messages: Sequence[tuple[bytes, bytes]]) -> None:
        """Pass on Parse, Describe and Close, the statement rewritten."""
        out = []
        for kind, body in messages:
            if kind == b"P":
                (name, text), rest = wire.split(body, 2)
                try:
                    rewritten = self._rewrite(text)
                except (strict.RefusedByRedshiftError, copying.CopyError) as refused:
                    self._server.note(Logged(self._number, text, _REFUSED), 0)
                    self._refuse(_REFUSED, f"{refused} [stand-in]: {text.strip()[:200]}")
                    return
                body = f"{name}\0{rewritten}\0".encode() + rest
            out.append(wire.message(kind, body))
        self._backend.send(*out, wire.message(b"S"))
        for kind, body in self._backend.answers():
            self._pass_on(kind, body)

    def _rewrite(self, text: str) -> str:
        strict.check(text)
        if _is_copy(text):
            return copying.parse(text, ROLE).statement
        return dialect.rewrite(text).text

    def _execute(self, text: str, messages: Sequence[tuple[bytes, bytes]], size: int) -> None:
        """Run a bound statement, with what Redshift does besides."""
        fault = self._server.fault_at(text)
        if fault and fault.action:
            fault.action()
        if fault and fault.drop == "before":
            self._server.note(Logged(self._number, text, "dropped before"), size)
            raise DroppedError
        if fault and fault.code:
            self._server.note(Logged(self._number, text, fault.code), size)
            self._refuse(fault.code, fault.text, fault.detail)
            return
        rewritten = None if _is_copy(text) else dialect.rewrite(text)
        answers: list[tuple[bytes, bytes]] = []
        if rewritten is None:
            answers = self._copy(copying.parse(text, ROLE), messages)
        else:
            self._backend.send(*(wire.message(*each) for each in messages), wire.message(b"S"))
            answers = list(self._backend.answers())
        if self._exceeds(text, answers):
            self._server.note(Logged(self._number, text, "XX000"), size)
            self._refuse(
                "XX000", "exceeded the maximum size allowed for the total set of cursor data"
            )
            return
        failed = next((wire.error_fields(body) for kind, body in answers if kind == b"E"), None)
        if not failed and rewritten:
            for after in rewritten.after:
                failed = failed or self._simple(after)
            if failed:
                answers = [(b"E", wire.error(failed["C"], failed["M"])[5:]), (b"Z", self._status)]
            elif rewritten.commits and answers[-1][1] == b"T":
                self._simple("commit")
                answers[-1] = (b"Z", b"I")
        self._server.note(Logged(self._number, text, failed["C"] if failed else ""), size)
        if fault and fault.drop == "after":
            raise DroppedError
        for kind, body in answers:
            self._pass_on(kind, body)

    def _exceeds(self, text: str, answers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether a cursor has given out more than the leader node may keep."""
        if re.match(r"(?i)declare\s", text):
            self._given = 0
        if not re.match(r"(?i)fetch\s", text):
            return False
        self._given += sum(len(body) for kind, body in answers if kind == b"D")
        return self._given > self._server.cursor_bytes

    def _copy(
        self, copy: copying.Copy, messages: Sequence[tuple[bytes, bytes]]
    ) -> list[tuple[bytes, bytes]]:
        """Stream the staged files into the client's own transaction."""
        types = self._types(copy.relation)
        self._backend.send(*(wire.message(*each) for each in messages))
        answers = []
        for kind, body in iter(self._backend.read, None):
            if kind == b"G":
                break
            answers.append((kind, body))
            if kind == b"E":
                self._backend.send(wire.message(b"S"))
                return [*answers, *self._backend.answers()]
        refused = None
        try:
            for url, data in copying.files(copy, self._server.stage):
                self._backend.send(wire.message(b"d", copying.to_postgres(copy, url, data, types)))
        except copying.CopyError as error:
            refused = error
        except KeyError as error:
            refused = copying.CopyError(f"column {error} does not exist")
        end = wire.message(b"f", f"{refused}\0".encode()) if refused else wire.message(b"c")
        self._backend.send(end, wire.message(b"S"))
        for kind, body in self._backend.answers():
            if kind == b"E" and refused:
                body = wire.error("XX000", str(refused))[5:]
            if kind == b"C":
                count = int(body.rstrip(b"\0").split()[-1])
                body = b"COPY\0"  # Redshift's says no number
            answers.append((kind, body))
        if refused and refused.detail:
            self._server.record_load_error(self._database, refused.detail)
        if not refused and not any(kind == b"E" for kind, _ in answers):
            self._simple(f"set standin.copy_count = '{count}'")
        return answers

    def _types(self, relation: str) -> dict[str, tuple[str, int]]:
        """Each column's type and its longest value in bytes."""
        rows: list[bytes] = []
        name = relation.replace("\\", "\\\\").replace("'", "''")
        self._simple(
            "select json_object_agg(attname, format_type(atttypid, atttypmod)) from pg_attribute "
            f"where attrelid = '{name}'::regclass and attnum > 0 and not attisdropped",
            rows,
        )
        types = {}
        for name, kind in json.loads(rows[0][6:]).items():  # after how many values, and how long
            word, size = re.match(r"([a-z ]+)(?:\((\d+))?", kind).groups()
            types[name] = (_SHORT.get(word, word), int(size or 65535))
        return types

    def _simple(self, statement: str, rows: list[bytes] | None = None) -> dict[str, str] | None:
        """Run a statement of the stand-in's own; returns its error, if it failed."""
        self._backend.send(wire.message(b"Q", statement.encode() + b"\0"))
        failed = None
        for kind, body in self._backend.answers():
            if kind == b"E":
                failed = wire.error_fields(body)
            elif kind == b"D" and rows is not None:
                rows.append(body)
            elif kind == b"Z":
                self._status = body
        return failed

    def _refuse(self, code: str, text: str, detail: str = "") -> None:
        """Fail as a statement does, so that an open transaction fails with it."""
        self._simple("call pg_catalog.standin_refuse('XX000', 'refused')")
        self._client.send(wire.error(code, text, detail), wire.message(b"Z", self._status))

    def _pass_on(self, kind: bytes, body: bytes) -> None:
        if kind == b"Z":
            self._status = body
        self._client.send(wire.message(kind, body))


def _is_copy(text: str) -> bool:
    return bool(re.match(r"(?is)\s*(?:/\*.*?\*/\s*)*copy\s", text))
