"""MySQL is reached as people reach theirs: by URL, by IAM, with a secret of AWS's, in a tunnel."""

import hashlib
import hmac
import http.server
import json
import os
import re
import shutil
import socketserver
import struct
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode

import pymysql
import pytest
from certificates import make_certificate, server_context
from hypothesis import given
from hypothesis import strategies as st
from project import ROOT
from receivers import Service, serving

from loader.declared import secrets
from loader.declared.settings import load_settings
from loader.errors import ConfigError
from loader.local.processes import free_port, is_listening, wait_until

ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
BUCKET = {"LOADER_S3_BUCKET": "b"}
AWS = {
    "AWS_ACCESS_KEY_ID": "AKIDTEST", "AWS_SECRET_ACCESS_KEY": "signs", "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1", "AWS_SESSION_TOKEN": "", "AWS_MAX_ATTEMPTS": "1",
}  # fmt: skip
TABLE = {"name": "t", "primary_key": ["id"]}
ONE_ROW = ("create table t (id int primary key)", "insert into t values (1)")
ONLY_MYSQL = pytest.mark.only("postgres", because="it ends before the warehouse")
YOUR_OWN = (ROOT / "docs" / "your-own.md").read_text()
words = st.text(st.characters(exclude_categories=["C"]), min_size=1)


@given(words, words, st.integers(1, 65535))
def test_a_url_says_what_four_settings_say(user, secret, port):
    url = f"mysql://{quote(user, safe='')}:{quote(secret, safe='')}@db.example.com:{port}/shop"
    mysql = load_settings({**BUCKET, "LOADER_MYSQL_URL": url}, "postgres").mysql
    assert (mysql.host, mysql.port) == ("db.example.com", port)
    assert (mysql.user, mysql.password, mysql.tls) == (user, secret, "verify")
    assert url not in repr(mysql)


@pytest.mark.parametrize(
    "url",
    [
        "postgres://u:hunter2@h", "mysql://hunter2@", "mysql://:hunter2@h", "mysql://u:hunter2@h:x",
        "mysql://u:hunter2@h:999999", "mysql://u:hunter2@h?ssl=off", "hunter2", "mysql://[hunter2",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused_and_not_quoted(url):
    with pytest.raises(ConfigError, match="LOADER_MYSQL_URL is no address") as refused:
        load_settings({**BUCKET, "LOADER_MYSQL_URL": url}, "postgres")
    assert "hunter2" not in str(refused.value)


def test_a_url_beside_what_it_stands_for_is_refused():
    with pytest.raises(ConfigError, match="is set, and so is LOADER_MYSQL_USER"):
        load_settings({"LOADER_MYSQL_URL": "mysql://u@h", "LOADER_MYSQL_USER": "v"}, "postgres")


class _SecretsManager(Service):
    """GetSecretValue, for who signs. [AWS Secrets Manager API Reference]."""

    def do_POST(self):  # noqa: N802 - as http.server calls it
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.headers["X-Amz-Target"] == "secretsmanager.GetSecretValue"
        assert "/eu-west-1/" in self.headers["Authorization"]  # the region of the ARN
        known = self.server.secrets.get("/".join(asked.values()).removeprefix(ARN))
        answer = {"SecretString": known} if known else {"__type": "ResourceNotFoundException"}
        self.reply(200 if known else 400, json.dumps(answer))


@pytest.fixture
def aws(monkeypatch):
    """AWS's credentials, and a Secrets Manager that holds what a test puts in `secrets`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _SecretsManager)
    place = f"http://127.0.0.1:{server.server_port}"
    server.env = {**AWS, "AWS_ENDPOINT_URL_SECRETS_MANAGER": place}
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    secrets._client.cache_clear()
    with serving(server):
        yield server
    secrets._client.cache_clear()


def test_the_arn_of_a_secret_stands_for_it(aws):
    aws.secrets = {
        "mysql-a1": '{"username": "u", "password": "hunter2"}',
        "job-b2": "{}", f"job-b2/{'v' * 32}": '{"hook": "https://hooks.example.com/x"}',
        "job-b2/AWSCURRENT": json.dumps({"salt": "s" * 16}),
        "url-c3": "mysql://u:hunter3@h",
    }  # fmt: skip
    rest = {**BUCKET, "LOADER_MASK_SALT": f"{ARN}job-b2:salt:AWSCURRENT:"}
    rest["LOADER_NOTIFY"] = f"{ARN}job-b2:hook::{'v' * 32}"
    env = {"LOADER_MYSQL_HOST": "h", "LOADER_MYSQL_USER": "u"}
    env["LOADER_MYSQL_PASSWORD"] = f"{ARN}mysql-a1"
    settings = load_settings({**rest, **env}, "postgres")
    assert (settings.mysql.password, settings.mask_salt) == ("hunter2", "s" * 16)
    assert settings.notify == ("https://hooks.example.com/x",)
    by_url = load_settings({**rest, "LOADER_MYSQL_URL": f"{ARN}url-c3"}, "postgres")
    assert by_url.mysql.password == "hunter3"
    for wrong, says in (
        ("none", "no secret of .*ResourceNotFound"), ("job-b2", "no secret of .*'password'"),
        ("a:b:c:d:e", "an ARN, of no secret"),
    ):  # fmt: skip
        with pytest.raises(ConfigError, match=f"LOADER_MYSQL_PASSWORD.* {says}") as refused:
            load_settings({**rest, **env, "LOADER_MYSQL_PASSWORD": ARN + wrong}, "postgres")
        assert not {"hunter2", "s" * 16} & {*str(refused.value).split("'")}


@ONLY_MYSQL
def test_a_table_lands_with_a_secret_that_nothing_shows(new_pipeline, aws):
    pipeline = new_pipeline([TABLE], *ONE_ROW)
    secret = pipeline.endpoints.env["LOADER_MYSQL_PASSWORD"]
    aws.secrets = {"mysql-a1": json.dumps({"password": secret})}
    place = {name: value for name, value in aws.env.items() if "ENDPOINT" in name}
    place["LOADER_MYSQL_PASSWORD"] = f"{ARN}mysql-a1"
    done = pipeline.loader("load", "--json", status=0, **place)
    assert secret not in done.stdout + done.stderr
    assert pipeline.raw("t", "id") == [(1,)]


class Rds(socketserver.ThreadingTCPServer):
    """RDS before a MySQL: TLS first, then a token for a password. [MySQL: Connection Phase]."""

    GREETING = (
        b"\x0a8.0.42\0" + struct.pack("<I", 1) + b"12345678\0"
        + struct.pack("<HBHH", 0xFFFF, 45, 2, 0x00DF) + b"\x15" + bytes(10)
        + b"123456789012\0mysql_native_password\0"
    )  # fmt: skip

    daemon_threads = True

    def __init__(self, certificate, backend, secret):
        super().__init__(("127.0.0.1", 0), None)
        self.context, self.port = server_context(certificate), self.server_address[1]
        self.backend, self.secret, self.tokens = backend, secret, []

    def finish_request(self, client, _):
        with client, suppress(OSError):
            self.send(client, 0, self.GREETING)
            assert len(self.packet(client)) == 32  # nothing but that TLS is to begin
            with self.context.wrap_socket(client, server_side=True) as encrypted:
                user = self.packet(encrypted)[32:].split(b"\0")[0].decode()
                self.send(encrypted, 3, b"\xfemysql_clear_password\0\0")
                self.tokens.append(self.packet(encrypted).removesuffix(b"\0").decode())
                if not self.is_good(self.tokens[-1], user):
                    self.send(encrypted, 5, b"\xff\x15\x04#28000Access denied")
                    return
                self.send(encrypted, 5, b"\0\0\0\2\0\0\0")
                server = self.backend()._sock
                both = (server, encrypted)
                threading.Thread(target=self.pass_on, args=both, daemon=True).start()
                self.pass_on(encrypted, server)

    def is_good(self, token, user):
        """Whether AWS would have signed it so. [AWS: Signature Version 4, query string]."""
        place, query = token.split("/?")
        asked = dict(parse_qsl(query))
        signature, day = asked.pop("X-Amz-Signature"), asked["X-Amz-Date"][:8]
        scope = f"{day}/us-east-1/rds-db/aws4_request"
        listed = urlencode(sorted(asked.items()), quote_via=quote, safe="-_.~")
        empty = hashlib.sha256(b"").hexdigest()
        request = f"GET\n/\n{listed}\nhost:{place}\n\nhost\n{empty}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        key = f"AWS4{self.secret}".encode()
        signed = f"AWS4-HMAC-SHA256\n{asked['X-Amz-Date']}\n{scope}\n{digest}"
        for part in (*scope.split("/"), signed):
            key = hmac.new(key, part.encode(), "sha256").digest()
        return (key.hex(), asked["Action"], asked["DBUser"]) == (signature, "connect", user)

    @staticmethod
    def pass_on(reader, writer):
        with suppress(OSError, ValueError):
            while data := reader.recv(1 << 16):
                writer.sendall(data)

    @staticmethod
    def send(client, number, body):
        client.sendall(len(body).to_bytes(3, "little") + bytes([number]) + body)

    @staticmethod
    def packet(client):
        def take(size):
            data = b""
            while len(data) < size:
                data += client.recv(size - len(data)) or pytest.fail("it hung up")
            return data

        return take(int.from_bytes(take(4)[:3], "little"))


@ONLY_MYSQL
def test_iam_makes_a_token_for_each_connection_and_sends_none_in_clear(
    new_pipeline, aws, tmp_path, endpoints
):
    pipeline = new_pipeline([TABLE], *ONE_ROW)
    certificate, backends = make_certificate(tmp_path), []

    def backend():
        secret = endpoints.env["LOADER_MYSQL_PASSWORD"]
        place = {"host": "127.0.0.1", "port": endpoints.mysql_port, "ssl_disabled": True}
        backends.append(pymysql.connect(**place, user="loader", password=secret))
        return backends[-1]

    rds = Rds(certificate, backend, endpoints.env["AWS_SECRET_ACCESS_KEY"])
    iam = {
        "LOADER_MYSQL_AUTH": "iam", "LOADER_MYSQL_PASSWORD": None, "LOADER_MYSQL_HOST": "localhost",
        "LOADER_MYSQL_PORT": str(rds.port), "LOADER_MYSQL_TLS": "verify", "AWS_REGION": "us-east-1",
        "LOADER_MYSQL_TLS_CA": str(certificate[0]), "AWS_DEFAULT_REGION": None,
    }  # fmt: skip
    with serving(rds):
        for _ in range(2):
            assert pipeline.load(**iam)["t"]["landed_rows"] == 1
            time.sleep(1.1)  # a token is signed for its second
        assert len(set(rds.tokens)) >= 2
        rds.secret = "another"
        said = pipeline.fails(**iam)
        assert "rds-db:connect" in said
        assert not [token for token in rds.tokens if token.partition("Signature=")[2] in said]
        sent = len(rds.tokens)
        refused = pipeline.loader("load", **{**iam, "LOADER_MYSQL_TLS": "off"}).stderr
        assert "the token would be sent in clear" in refused
        assert "No IAM token for loader at" in pipeline.fails(**{**iam, "AWS_REGION": None})
        assert len(rds.tokens) == sent
    for each in backends:
        each._sock.close()


@ONLY_MYSQL
@pytest.mark.skipif(not Path("/usr/sbin/sshd").exists(), reason="here is no sshd; .ci/run has one")
def test_the_tunnel_of_the_docs_carries_a_load(new_pipeline, endpoints, tmp_path):
    pipeline = new_pipeline([TABLE], *ONE_ROW)
    for name in ("host", "user"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)]
        subprocess.run(make, check=True)
    shutil.copy(tmp_path / "user.pub", tmp_path / "authorized")
    if os.geteuid() == 0:  # where root's sshd changes to; Debian's service makes it
        Path("/run/sshd").mkdir(exist_ok=True)
    port, entrance = free_port(), free_port()
    sshd = [
        "/usr/sbin/sshd", "-De", "-f", os.devnull, "-p", str(port), "-h", str(tmp_path / "host"),
        "-o", f"AuthorizedKeysFile={tmp_path / 'authorized'}", "-o", "StrictModes=no",
        "-o", "ListenAddress=127.0.0.1", "-o", "PidFile=none",
    ]  # fmt: skip
    told = re.search(r"^ssh (.*) -L 3307:db\.internal:3306 (\S+)$", YOUR_OWN, re.MULTILINE)
    ssh = [
        "ssh", *told[1].split(), "-L", f"{entrance}:127.0.0.1:{endpoints.mysql_port}", "127.0.0.1",
        "-p", str(port), "-i", str(tmp_path / "user"), "-o", "UserKnownHostsFile=/dev/null",
        "-o", "StrictHostKeyChecking=no", "-o", "LogLevel=ERROR",
    ]  # fmt: skip
    with subprocess.Popen(sshd, stderr=subprocess.DEVNULL) as server:
        wait_until(lambda: is_listening(port), "sshd", tmp_path / "log", server)
        with subprocess.Popen(ssh, stdin=subprocess.DEVNULL) as tunnel:
            wait_until(lambda: is_listening(entrance), "ssh", tmp_path / "log", tunnel)
            landed = pipeline.load(LOADER_MYSQL_PORT=str(entrance))
            tunnel.terminate()
        server.terminate()
    assert landed["t"]["landed_rows"] == 1
