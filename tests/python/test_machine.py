"""Laws 1 to 5 under random histories; `make soak` tries many more of them."""

import os
import re

import pytest
from history import keep_whole_histories, keep_whole_summaries
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from machine import Pipelines
from pipeline import Forked

RUNS = int(os.environ.get("SOAK_RUNS", "1"))
STEPS = int(os.environ.get("SOAK_STEPS", "8"))


@pytest.fixture
def machine(new_project):
    """A machine's class for a pipeline of this test's own; every run starts it empty."""
    pipeline = new_project()
    keep_whole_histories(pipeline.folder)
    keep_whole_summaries(pipeline.folder)
    for file in (pipeline.folder / "models").rglob("*.yml"):
        # Bounds that a few rows do not meet.
        text = re.sub(r"arguments: {minimum: \d\d+}", "arguments: {minimum: 0}", file.read_text())
        file.write_text(text.replace("{percent: 20}", "{percent: 1000000}"))
    done = {}
    with Forked(pipeline) as forked:
        yield type("Machine", (Pipelines,), {"pipeline": pipeline, "forked": forked, "done": done})
    print("; ".join(f"{count:,} {what}" for what, count in done.items()))


def test_random_histories_converge(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=RUNS,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="SOAK_RUNS" not in os.environ,
            database=None,
            phases=(Phase.generate,),
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
