"""Taking the sample out of a clone, so that what is left is somebody's own project.

`.gitattributes` says what is the sample's: whole files, and files of which parts are. Such a part
lies between two comments, `sample` and `end of sample`; the second may hold what takes its place.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from loader.errors import ConfigError

_PART = re.compile(
    r"(?P<line>^[ \t]*)?(?:<!-- sample -->|\{# sample #\}|# sample$).*?"
    r"(?:<!-- end of sample(?:: (?P<text>.*?))?\s-->|\{# end of sample #\}"
    r"|# end of sample(?:: (?P<rest>[^\n]*))?$)(?P<end>\n?)",
    re.DOTALL | re.MULTILINE,
)


def take_out(project_dir: Path) -> Iterator[str]:
    """Remove the sample's files, and its parts of others, from a clone.

    Yields:
        What was done, a sentence each; `git restore .` undoes all of it.

    Raises:
        ConfigError: it is no clone, or something in it is not committed; nothing was touched.
    """
    if changed := _git(project_dir, "status", "--porcelain"):
        raise ConfigError(
            f"Not committed yet: {', '.join(line[3:] for line in changed[:5])}"
            f"{', …' if len(changed) > 5 else ''}. Nothing was touched.",  # noqa: PLR2004
            "Commit it or `git stash --include-untracked`, so that `git restore .` can undo what "
            "`make own` does.",
        )
    # All is asked before the file that answers is removed.
    whole, parts = (
        [project_dir / name for name in _git(project_dir, "ls-files", "-z", f":(attr:{attribute})")]
        for attribute in ("sample", "sample=cut")
    )
    if not whole:
        raise ConfigError("The sample is not here any more. Nothing was touched.")
    kept = {file: without_parts(file.read_text("utf-8")) for file in parts}
    for file in whole:
        file.unlink()
        with suppress(OSError):  # others are in it
            for folder in file.relative_to(project_dir).parents:
                (project_dir / folder).rmdir()
    for file, text in kept.items():
        file.write_text(text, "utf-8")
    counts = Counter(file.relative_to(project_dir).parts[0] for file in whole)
    counted = ", ".join(f"{name} ({count})" for name, count in counts.items() if count > 1)
    yield f"Took out the sample, {len(whole)} files: {counted} and others."
    names = ", ".join(str(file.relative_to(project_dir)) for file in parts)
    yield f"Took its parts out of {names}."


def without_parts(text: str) -> str:
    r"""Take the sample's parts out of a text.

    >>> without_parts("one\n# sample\ntwo\n# end of sample: 2\nthree")
    'one\n2\nthree'
    >>> without_parts("|-|{# sample #}\n|nps|{# end of sample #}\n|health|")
    '|-|\n|health|'
    """

    def instead(part: re.Match[str]) -> str:
        kept = part["text"] or part["rest"] or ""
        is_inline = part["line"] is None
        return kept + part["end"] if kept or is_inline else ""

    return _PART.sub(instead, text)


def _git(project_dir: Path, *arguments: str) -> list[str]:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", "-C", str(project_dir), *arguments],  # noqa: S607 - the caller's own git
            capture_output=True, encoding="utf-8", check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()[-1]
        raise ConfigError(
            f"git does not answer: {said}. Nothing was touched.",
            "`make own` works in a clone, where git can undo it.",
        ) from None
    return [line for line in re.split("[\0\n]", done.stdout) if line]
