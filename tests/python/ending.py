"""End a test worker's servers once the worker has ended, however it did: `python ending.py FOLDER`.

The worker holds the other end of the standard input; a signal to the tests does not reach this.
"""

import shutil
import sys
from pathlib import Path

from loader.local import services

if __name__ == "__main__":
    sys.stdin.read()
    folder = Path(sys.argv[1])
    services.down(folder)
    shutil.rmtree(folder, ignore_errors=True)
