"""How MySQL's certificate is verified, and what to do where it cannot be."""

import ssl

from loader.declared.settings import THIS_MACHINE, MySQLSettings
from loader.errors import SourceError

_IN_CLEAR = 3159  # under require_secure_transport [MySQL: Server Error Messages]
_DENIED = 1045
_AUTHORITY = (
    "LOADER_MYSQL_TLS_CA to the authority that signed the server's certificate, and "
    "LOADER_MYSQL_HOST to a name that stands in it; or LOADER_MYSQL_TLS to verify-ca, if it names "
    "no host, as the one that MySQL makes by itself (ca.pem in its data folder is the authority)"
)


def context(settings: MySQLSettings) -> ssl.SSLContext | None:
    """Make what verifies the certificate; None is a connection in clear.

    Raises:
        SourceError: the authority's file cannot be read.
    """
    if settings.tls == "off":
        return None
    try:
        made = ssl.create_default_context(cafile=settings.tls_ca or None)
    except OSError as error:  # ssl.SSLError is one
        raise SourceError(
            f"LOADER_MYSQL_TLS_CA {settings.tls_ca!r}: {error}.",
            "Set it to a file of certificates.",
        ) from None
    if settings.tls == "verify-ca":
        made.check_hostname = False
        # Newer Pythons ask for more than stands in what MySQL makes by itself.
        # [Python: ssl, "create_default_context"]
        made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made


def remedy(settings: MySQLSettings, code: int, reason: str) -> str:
    """Say what to do about a connection that failed."""
    if code == _IN_CLEAR:
        return f"Set LOADER_MYSQL_TLS to verify, {_AUTHORITY}."
    if "SSL" in reason:
        return f"Set {_AUTHORITY}; or to off, where nobody else is on the wire."
    if code == _DENIED and settings.auth == "iam":
        return (
            "This identity needs rds-db:connect on that user of the server, and the user "
            "`identified with AWSAuthenticationPlugin as 'RDS'`."
        )
    checked = "Check LOADER_MYSQL_HOST, _PORT, _USER and _PASSWORD, or _URL; is the server up?"
    if settings.host in THIS_MACHINE:
        checked += " `make up` starts the embedded one."
    if code == _DENIED and settings.tls == "off":  # MariaDB says no more of a user who needs TLS
        checked += " If it wants TLS, set LOADER_MYSQL_TLS to verify or verify-ca and its _TLS_CA."
    return checked
