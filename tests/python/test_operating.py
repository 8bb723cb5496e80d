"""What docs/operating.md gives to paste is read by those who will read it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from pipeline import BIN, ROOT
from test_cli import is_command

TEXT = (ROOT / "docs" / "operating.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.M | re.S)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path):
    units = []
    for block in blocks("ini"):
        name = re.search(r"# /etc/systemd/system/(\S+)", block)[1]
        text = block.replace("/opt/mysql_to_redshift/.venv/bin/loader", str(BIN / "loader"))
        (tmp_path / name).write_text(text)
        units.append(str(tmp_path / name))
    assert [Path(unit).suffix for unit in units] == [".service", ".timer"] * 2
    checked = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_lines_for_cron_are_commands_that_it_takes_whole():
    (lines,) = blocks("cron")
    for line in lines.strip().splitlines():
        *times, command = line.split(maxsplit=5)
        assert all(re.fullmatch(r"\*|\d+(-\d+)?", time) for time in times)
        assert "%" not in command  # cron ends a command there
        subprocess.run(["sh", "-n", "-c", command], check=True)


def test_the_workflow_runs_the_job_and_keeps_the_report():
    (block,) = blocks("yaml")
    workflow = yaml.safe_load(block)
    (job,) = workflow["jobs"].values()
    ran = [step["run"] for step in job["steps"] if "run" in step]
    daily, weekly = (each["cron"] for each in workflow[True]["schedule"])  # `on` is true in YAML
    thorough = f"${{{{ github.event.schedule == '{weekly}' && '--thorough' || '' }}}}"
    assert (daily, weekly) == ("15 3 * * 1-6", "15 3 * * 0")
    assert ran[-2:] == [f".venv/bin/loader run {thorough}", ".venv/bin/loader report"]
    assert [step["if"] for step in job["steps"][-2:]] == ["always()"] * 2
    assert workflow["permissions"] == {"contents": "read"}
    ours = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert all(use in ours for use in re.findall("uses: .*", block))  # pinned, and to the same
    for name, value in job["env"].items():
        is_secret = "PASSWORD" in name
        assert value == "redshift" or f"{'secrets' if is_secret else 'vars'}.{name}" in value


def test_a_task_in_a_container_is_a_command_that_can_be_typed():
    """`make test-airflow` runs the DAG itself."""
    page = (ROOT / "docs" / "from-airflow-operators.md").read_text()
    (job,) = (yaml.safe_load(each) for each in re.findall(r"(?s)```yaml\n(.*?)```", page))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    (override,) = (json.loads(each) for each in re.findall(r"(?s)```json\n(.*?)```", page))
    assert container["args"] == override["containerOverrides"][0]["command"]
    assert is_command(container["args"])
    assert 'ENTRYPOINT ["loader"]' in (ROOT / "Containerfile").read_text()
