"""The loader connects as dbt does: the same keys of the profile, by password and by IAM."""

import datetime
import gc
import http.server
import os
import threading
from argparse import Namespace
from unittest.mock import MagicMock
from urllib.parse import parse_qs

import psycopg2
import pytest
from certificates import server_context
from dbt.clients.jinja import get_rendered
from dbt.config.profile import Profile, read_profile
from dbt.config.renderer import ProfileRenderer
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context
from dbt_common.exceptions import DbtBaseException
from jinja2.exceptions import SecurityError, UndefinedError
from standin.relay import Standin

from loader.declared import jinja
from loader.declared.profile import Profile as LoaderProfile
from loader.declared.profile import load_profile
from loader.declared.settings import environment
from loader.errors import ConfigError
from loader.warehouse import connecting
from loader.warehouse.connecting import adapter_credentials

TABLE = {"name": "t", "primary_key": ["id"]}
PROFILES = {
    "password": {"REDSHIFT_USER": "ada", "REDSHIFT_PASSWORD": "0123"},
    "number as password": {"REDSHIFT_USER": "ada", "REDSHIFT_PASSWORD": "123"},
    "other port": {"REDSHIFT_USER": "ada", "REDSHIFT_PASSWORD": "x", "REDSHIFT_PORT": "5555"},
    "iam": {"REDSHIFT_METHOD": "iam", "REDSHIFT_USER": "ada", "REDSHIFT_CLUSTER_ID": "c"},
    "iam profile": {
        "REDSHIFT_METHOD": "iam", "REDSHIFT_USER": "ada", "REDSHIFT_CLUSTER_ID": "c",
        "REDSHIFT_IAM_PROFILE": "p", "REDSHIFT_REGION": "eu-west-1",
    },
    "iam role": {"REDSHIFT_METHOD": "iam_role", "REDSHIFT_CLUSTER_ID": "c"},
    "serverless": {
        "REDSHIFT_METHOD": "iam_role", "REDSHIFT_WORKGROUP": "w", "REDSHIFT_ACCOUNT_ID": "0123",
    },
    "role and group": {
        "REDSHIFT_USER": "ada", "REDSHIFT_PASSWORD": "x", "REDSHIFT_ROLE": "loader",
        "REDSHIFT_QUERY_GROUP": "etl",
    },
    "no verification": {
        "REDSHIFT_USER": "ada", "REDSHIFT_PASSWORD": "x", "REDSHIFT_SSLMODE": "disable",
    },
}  # fmt: skip


@pytest.mark.only("redshift", because="every key compared is dbt-redshift's")
@pytest.mark.parametrize("name", PROFILES)
def test_the_loader_renders_a_profile_as_dbt_core_does(new_pipeline, name):
    pipeline = new_pipeline([TABLE])
    unset = dict.fromkeys(("REDSHIFT_USER", "REDSHIFT_PASSWORD", "REDSHIFT_SSLMODE"))
    with pipeline.inside(**{**unset, "REDSHIFT_PORT": "5439", **PROFILES[name]}):
        ours = load_profile(pipeline.folder, "redshift", environment(pipeline.folder, "redshift"))
        set_invocation_context(os.environ)
        set_from_args(Namespace(LOG_CACHE_EVENTS=False), {})
        theirs = Profile.from_raw_profiles(
            read_profile(os.environ["DBT_PROFILES_DIR"]),
            "mysql_to_redshift",
            ProfileRenderer({}),
            target_override="redshift",
        )
    assert adapter_credentials(ours).to_dict() == theirs.credentials.to_dict()


@pytest.mark.only("postgres", because="every key compared is dbt-postgres's")
@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"pass": "x", "password": None, "database": "d", "dbname": None},
        {"connect_timeout": 3, "keepalives_idle": 7, "sslmode": "require", "role": "r"},
        {"search_path": "a, b", "application_name": "loader", "keepalives_idle": 0},
        {"sslcert": "c", "sslkey": "k", "sslrootcert": "a", "sslmode": ""},
    ],
)
def test_the_loader_connects_to_postgresql_with_what_dbt_does(monkeypatch, keys):
    """Without importing dbt, which takes a second and thirty megabytes."""
    asked = []

    class Connection:
        autocommit = False

        def cursor(self):
            return MagicMock()

        def commit(self):
            pass

        def get_backend_pid(self):
            return 1

    def connect(**options):
        asked.append(options)
        return Connection()

    monkeypatch.setattr(psycopg2, "connect", connect)
    output = {
        "type": "postgres", "host": "h", "port": 5432, "user": "u", "password": "p",
        "dbname": "d", "schema": "s", "threads": 4, **keys,
    }  # fmt: skip
    output = {key: value for key, value in output.items() if value is not None}
    profile = LoaderProfile(target="t", type="postgres", schema="s", output=output)
    connecting.connect(profile, answer_seconds=60)
    connecting._open_by_adapter(profile, seconds=60)
    ours, theirs = asked
    # The loader also notices a peer that is gone; what the profile says of that holds.
    assert ours == {**connecting._KEEPALIVES, **theirs}


TEMPLATES = [
    "plain", "{{ 1 }}", "{{ '1' }}", "{{ '1' | as_number }}", "{{ '1.5' | as_number }}",
    "{{ 'true' | as_native }}", "{{ 'True' | as_native }}", "{{ 'True' | as_bool }}",
    "{{ '007' | as_text }}", "{{ none }}", "{{ none | as_native }}", "a{{ 1 }}b", "{{ [1, 'x'] }}",
    "{{ '[1, 2]' | as_native }}", "{% if true %}yes{% endif %}", "{% do [].append(1) %}",
    "{{ ('' or none) | as_native }}", "{{ '1e3' | as_number }}", "{{ target.schema ~ '_x' }}",
    "{{ 'x' | as_number }}", "{{ '1' | as_bool }}", "{{ 'True' | as_number }}", "{{ nothing }}",
    "{{ nothing.at_all }}", "{{ ''.__class__.__mro__ }}", "{{ broken", "{{ env_var('HOME') }}",
]  # fmt: skip


@pytest.mark.only("postgres", because="no warehouse is asked")
@pytest.mark.parametrize("template", TEMPLATES)
def test_jinja_means_what_it_means_to_dbt(template):
    context = {"target": {"schema": "s"}, "env_var": lambda name: f"${name}"}
    try:
        theirs = get_rendered(template, context, native=True)
    except (DbtBaseException, UndefinedError, SecurityError):
        with pytest.raises(ConfigError):
            jinja.render("key", template, context)
    else:
        ours = jinja.render("key", template, context)
        assert ours == theirs
        assert type(ours) is (str if isinstance(theirs, str) else type(theirs))


class _Iam(http.server.BaseHTTPRequestHandler):
    """AWS's answer to GetClusterCredentials; refuses what is not signed."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = {name: values[0] for name, values in parse_qs(body).items()}
        self.server.asked.append(asked)
        signed = "AWS4-HMAC-SHA256 Credential=AKIDTEST/" in self.headers.get("Authorization", "")
        # The driver first takes a host that is not AWS's for a custom domain.
        ok = signed and "ClusterIdentifier" in asked
        expires = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=15)
        answer = (
            '<GetClusterCredentialsResponse xmlns="http://redshift.amazonaws.com/doc/2012-12-01/">'
            "<GetClusterCredentialsResult><DbUser>IAM:warehouse</DbUser>"
            "<DbPassword>temporary</DbPassword>"
            f"<Expiration>{expires:%Y-%m-%dT%H:%M:%SZ}</Expiration>"
            "</GetClusterCredentialsResult></GetClusterCredentialsResponse>"
            if ok
            else "<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>"
        ).encode()
        self.send_response(200 if ok else 403)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def iam():
    """An endpoint that gives out temporary credentials."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Iam)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def encrypted(redshift, certificate):
    """The stand-in once more, speaking TLS, for a user whom IAM has given a password."""
    server = Standin(
        backend=redshift.backend, password=redshift.password, stage=redshift.stage,
        tls=server_context(certificate), temporary={"IAM:warehouse": "temporary"},
    )  # fmt: skip
    yield server
    server.close()


def by_iam(iam, encrypted, **changes):
    return {
        "REDSHIFT_METHOD": "iam", "REDSHIFT_HOST": "localhost",
        "REDSHIFT_PORT": str(encrypted.port), "REDSHIFT_CLUSTER_ID": "prod",
        "REDSHIFT_USER": "warehouse", "REDSHIFT_PASSWORD": None, "REDSHIFT_REGION": "us-east-1",
        "REDSHIFT_SSLMODE": "verify-full",
        "AWS_ENDPOINT_URL_REDSHIFT": f"http://127.0.0.1:{iam.server_port}",
        **changes,
    }  # fmt: skip


@pytest.mark.only("redshift", because="IAM is Redshift's")
def test_iam_gives_temporary_credentials_over_verified_tls(
    new_pipeline, iam, encrypted, certificate
):
    pipeline = new_pipeline([TABLE])
    pipeline.mysql("create table t (id int primary key)", "insert into t values (1), (2)")
    keys = {
        "AWS_ACCESS_KEY_ID": pipeline.endpoints.env["AWS_ACCESS_KEY_ID"],
        "REDSHIFT_IAM_PROFILE": "iam",
        "AWS_SHARED_CREDENTIALS_FILE": str(certificate[0].with_name("credentials")),
    }
    certificate[0].with_name("credentials").write_text(
        "[iam]\naws_access_key_id = AKIDTEST\naws_secret_access_key = secret\n"
    )
    changes = by_iam(iam, encrypted, SSL_CERT_FILE=str(certificate[0]), **keys)
    done = pipeline.loader("load", "--json", **changes)
    assert done.returncode == 0, done.stdout + done.stderr
    assert pipeline.raw("t", "id") == [(1,), (2,)]
    last = [each for each in iam.asked if "ClusterIdentifier" in each][-1]
    assert (last["Action"], last["ClusterIdentifier"]) == ("GetClusterCredentials", "prod")
    assert last["DbUser"] == "warehouse"
    assert "temporary" not in done.stdout + done.stderr
    debug = pipeline.dbt("debug", **changes)
    assert "All checks passed!" in debug.stdout, debug.stdout

    changes["SSL_CERT_FILE"] = None
    refused = pipeline.loader("load", "--json", **changes)
    assert refused.returncode == 1
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
    gc.collect()
