"""Every error the loader raises on purpose.

* LoaderError
  + ConfigError     settings, a profile or a source declaration are wrong; nothing was touched
    - CommandLineError   the command line asks for something impossible; nothing was touched
  + SourceError     MySQL could not be read exactly; nothing was landed
  + StageError      S3 could not be written or read; nothing was landed
  + LandingError    the warehouse refused the rows; raw_data is unchanged
  + RepairError     more differs than may be repaired unasked; nothing was repaired

Each carries the fact and its remedy; the command line prints both and exits with `exit_status`.
"""


class LoaderError(Exception):
    """A failure that a person can act on.

    Args:
        fact: what is wrong, naming table, column, key and value, and what was left untouched.
        remedy: what to do next, in one sentence.
    """

    exit_status = 1

    def __init__(self, fact: str, remedy: str = "") -> None:
        self.fact = fact
        self.remedy = remedy
        super().__init__(f"{fact}\n\n{remedy}" if remedy else fact)


class ConfigError(LoaderError):
    """Settings, a profile or a source declaration are wrong; nothing was touched."""


class CommandLineError(ConfigError):
    """The command line asks for something impossible; nothing was touched."""

    exit_status = 2


class SourceError(LoaderError):
    """MySQL could not be read exactly; nothing was landed."""


class StageError(LoaderError):
    """S3 could not be written or read; nothing was landed."""


class LandingError(LoaderError):
    """The warehouse refused the rows; raw_data is unchanged."""


class RepairError(LoaderError):
    """More differs than may be repaired unasked; nothing was repaired."""
