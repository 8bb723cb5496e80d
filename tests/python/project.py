"""The repository's dbt project, and copies of it."""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[2]
# What `make` has compiled: without it each command that a test starts compiles all of dbt.
COMPILED = {
    "PYTHONPYCACHEPREFIX": str(ROOT / ".local" / "cache" / "python"),
    "PYTHONDONTWRITEBYTECODE": "1",
}
DBT_FILES = ("dbt_project.yml", ".dbtignore", "models", "macros", "tests", "seeds", "snapshots")


def copy_project(folder: Path, database: str) -> Path:
    """Copy the dbt project, reading from another MySQL database."""
    for name in DBT_FILES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("python"))
        else:
            shutil.copy(source, folder / name)
    sources = folder / "models" / "sources" / "_raw_data__sources.yml"
    sources.write_text(sources.read_text().replace("source: prod.", f"source: {database}."))
    return folder


def your_own(language: str) -> list[str]:
    """The blocks of one language that docs/your-own.md tells people to paste."""
    text = (ROOT / "docs" / "your-own.md").read_text()
    return re.findall(rf"(?s)```{language}\n(.*?)```", text)
