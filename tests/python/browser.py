"""A real browser that opens a file, with no way to any network."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_DARK, _LIGHT = 0, 1  # Blink's PreferredColorScheme


def opened(
    page: Path,
    folder: Path,
    *,
    at: str = "",
    width: int = 1200,
    dark: bool = False,
    known: str = "(?!)",
) -> str:
    """Open a page and let its scripts run; returns what it has become.

    Whatever a script complains about fails the test.

    Args:
        folder: for the browser's own files; all that it knows of a home.
        at: the URL's fragment.
        width: of the window, in pixels.
        known: matches the complaints that are not ours.
    """
    found = next((path for name in _NAMES if (path := shutil.which(name))), None)
    if not found:
        assert not os.environ.get("CI"), "CI opens the pages in a browser"
        pytest.skip(f"none of {', '.join(_NAMES)} is installed")
    done = subprocess.run(
        [
            found, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900",
            f"--blink-settings=preferredColorScheme={_DARK if dark else _LIGHT}",
            "--host-resolver-rules=MAP * ~NOTFOUND", "--virtual-time-budget=5000",
            "--enable-logging=stderr", "--dump-dom", f"{page.absolute().as_uri()}{at}",
        ],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    complaints = re.findall(r"CONSOLE.*", done.stderr)
    assert [each for each in complaints if not re.search(known, each)] == []
    return done.stdout
