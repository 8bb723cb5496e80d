"""The loader connects as dbt does: the same keys of the profile, by password and by IAM."""

import datetime
import gc
import http.server
import os
import shutil
from argparse import Namespace
from unittest.mock import MagicMock
from urllib.parse import parse_qs

import psycopg2
import pytest
from certificates import server_context
from dbt.config.profile import Profile, read_profile
from dbt.config.renderer import ProfileRenderer
from dbt.flags import set_from_args
from dbt_common.context import set_invocation_context
from project import ROOT
from receivers import Service, serving
from standin.relay import Standin

from loader.declared import profile as declared
from loader.declared.profile import load_profile
from loader.errors import ConfigError
from loader.warehouse import connecting

TABLE = {"name": "t", "primary_key": ["id"]}
HERE = {"REDSHIFT_HOST": "h", "REDSHIFT_DATABASE": "d"}
ADA = {**HERE, "REDSHIFT_USER": "ada", "REDSHIFT_PASSWORD": "0123"}
PROFILES = {
    "password": ADA,
    "number as password, other port": {**ADA, "REDSHIFT_PASSWORD": "1", "REDSHIFT_PORT": "5555"},
    "iam": {
        **HERE, "REDSHIFT_METHOD": "iam", "REDSHIFT_USER": "ada", "REDSHIFT_CLUSTER_ID": "c",
        "REDSHIFT_IAM_PROFILE": "p", "REDSHIFT_REGION": "eu-west-1",
    },
    "serverless": {
        **HERE, "REDSHIFT_METHOD": "iam_role", "REDSHIFT_WORKGROUP": "w",
        "REDSHIFT_ACCOUNT_ID": "0123",
    },
    "role, group, no verification": {
        **ADA, "REDSHIFT_ROLE": "loader", "REDSHIFT_QUERY_GROUP": "etl",
        "REDSHIFT_SSLMODE": "disable",
    },
}  # fmt: skip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with the profile of the example, and no variable that it reads."""
    shutil.copy(ROOT / "dbt_project.yml", tmp_path)
    shutil.copy(ROOT / "profiles.yml.example", tmp_path / "profiles.yml")
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    for name in [name for name in os.environ if name.startswith(("REDSHIFT_", "DBT_SCHEMA"))]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.mark.parametrize("name", PROFILES)
def test_the_loader_renders_a_profile_as_dbt_does(folder, monkeypatch, name):
    for variable, value in PROFILES[name].items():
        monkeypatch.setenv(variable, value)
    ours = load_profile(folder, "redshift", os.environ)
    set_invocation_context(os.environ)
    set_from_args(Namespace(LOG_CACHE_EVENTS=False), {})
    theirs = Profile.from_raw_profiles(
        read_profile(str(folder)), "mysql_to_redshift", ProfileRenderer({}),
        target_override="redshift",
    )  # fmt: skip
    assert connecting.adapter_credentials(ours).to_dict() == theirs.credentials.to_dict()


def test_what_cannot_be_rendered_is_named_by_its_key_alone(folder):
    file = folder / "profiles.yml"
    file.write_text(file.read_text().replace("\"{{ env_var('PGHOST') }}\"", '"hunter2{{ oh }"'))
    with pytest.raises(ConfigError, match=r"The Jinja of `host` in .* cannot be") as refused:
        load_profile(folder, "postgres", {})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("value", ["1", "54329", "007", "x", "", "1e3"])
@pytest.mark.parametrize(
    "template",
    [
        "{{ env_var('V') }}", "{{env_var('V','2')|as_number}}", "{{ env_var('NONE', '2') }}",
        "a{{ env_var('V') }}", "{{ env_var('V') | as_number }}", "{{ env_var('NONE') }}",
        "{{ broken",
    ],
)  # fmt: skip
def test_plain_variables_mean_without_dbt_what_they_mean_to_dbt(template, value):
    def rendered(render):
        try:
            made = render("key", template, {"V": value})
        except ConfigError:
            return None
        return type(made) if isinstance(made, int | float) else str, made

    assert rendered(declared._render) == rendered(declared._render_by_dbt)


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

    def connect(**options):
        asked.append(options)
        return MagicMock()

    monkeypatch.setattr(psycopg2, "connect", connect)
    output = {
        "type": "postgres", "host": "h", "port": 5432, "user": "u", "password": "p",
        "dbname": "d", "schema": "s", "threads": 4, **keys,
    }  # fmt: skip
    output = {key: value for key, value in output.items() if value is not None}
    profile = declared.Profile(target="t", type="postgres", output=output)
    connecting.connect(profile, answer_seconds=60)
    connecting.open_by_adapter(profile, seconds=60)
    ours, theirs = asked
    # The loader also notices a peer that is gone; what the profile says of that holds.
    assert ours == {**connecting.KEEPALIVES, **theirs}


def test_a_target_without_a_user_is_refused_by_the_name_of_the_key():
    output = {"type": "postgres", "host": "h", "port": 5432, "password": "hunter2", "dbname": "d"}
    profile = declared.Profile(target="t", type="postgres", output=output)
    with pytest.raises(ConfigError, match="Target t is not what postgres needs") as refused:
        connecting.connect(profile, answer_seconds=60)
    assert "hunter2" not in str(refused.value)


class _Iam(Service):
    """AWS's answer to GetClusterCredentials; refuses what is not signed."""

    def do_POST(self):  # noqa: N802 - as http.server calls it
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
        )
        self.reply(200 if ok else 403, answer)


@pytest.fixture
def iam():
    """An endpoint that gives out temporary credentials."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Iam)
    server.asked = []
    with serving(server):
        yield server


@pytest.fixture
def encrypted(redshift, certificate):
    """The stand-in once more, speaking TLS, for a user whom IAM has given a password."""
    server = Standin(
        backend=redshift.backend, password=redshift.password, stage=redshift.stage,
        tls=server_context(certificate), temporary={"IAM:warehouse": "temporary"},
    )  # fmt: skip
    yield server
    server.close()


@pytest.mark.only("redshift", because="IAM is Redshift's")
def test_iam_gives_temporary_credentials_over_verified_tls(
    new_pipeline, iam, encrypted, certificate
):
    pipeline = new_pipeline([TABLE])
    pipeline.mysql("create table t (id int primary key)", "insert into t values (1), (2)")
    credentials = certificate[0].with_name("credentials")
    credentials.write_text("[iam]\naws_access_key_id = AKIDTEST\naws_secret_access_key = secret\n")
    changes = {
        "REDSHIFT_METHOD": "iam", "REDSHIFT_HOST": "localhost",
        "REDSHIFT_PORT": str(encrypted.port), "REDSHIFT_CLUSTER_ID": "prod",
        "REDSHIFT_USER": "warehouse", "REDSHIFT_PASSWORD": None, "REDSHIFT_REGION": "us-east-1",
        "REDSHIFT_SSLMODE": "verify-full", "REDSHIFT_IAM_PROFILE": "iam",
        "AWS_ENDPOINT_URL_REDSHIFT": f"http://127.0.0.1:{iam.server_port}",
        "AWS_ACCESS_KEY_ID": pipeline.endpoints.env["AWS_ACCESS_KEY_ID"],
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials), "SSL_CERT_FILE": str(certificate[0]),
    }  # fmt: skip
    done = pipeline.loader("load", "--json", **changes, status=0)
    assert pipeline.raw("t", "id") == [(1,), (2,)]
    last = [each for each in iam.asked if "ClusterIdentifier" in each][-1]
    assert (last["Action"], last["ClusterIdentifier"]) == ("GetClusterCredentials", "prod")
    assert last["DbUser"] == "warehouse"
    assert "temporary" not in done.stdout + done.stderr
    assert "All checks passed!" in pipeline.build("debug", **changes)

    changes["SSL_CERT_FILE"] = None
    refused = pipeline.loader("load", "--json", **changes, status=1)
    assert "CERTIFICATE_VERIFY_FAILED" in refused.stderr
    gc.collect()
