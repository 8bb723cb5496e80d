"""Every error the loader raises on purpose.

* LoaderError
  + ConfigError     settings, a profile or a source declaration are wrong; nothing was touched
    - CommandLineError   the command line asks for something impossible; nothing was touched
  + SourceError     MySQL could not be read exactly; nothing was landed
  + StageError      S3 could not be written or read; nothing was landed
  + LandingError    the warehouse refused the rows; raw_data is unchanged

Each carries the fact and its remedy; the command line prints both and exits with `exit_status`.
"""


def printable(text: str) -> str:
    r"""Write what a terminal would act on, and what hides or reorders text, as an escape.

    Names and values come from YAML, from MySQL and from what the servers answer.

    >>> print(printable("naïve \x1b[31m\n\u202e"))
    naïve \x1b[31m\n\u202e
    """
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text
    )


class LoaderError(Exception):
    """A failure that a person can act on.

    Args:
        fact: what is wrong, naming table, column, key and value, and what was left untouched.
        remedy: what to do next, in one sentence.
    """

    exit_status = 1

    def __init__(self, fact: str, remedy: str = "") -> None:
        self.fact = printable(fact)
        self.remedy = printable(remedy)
        super().__init__(f"{self.fact}\n\n{self.remedy}" if remedy else self.fact)


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
