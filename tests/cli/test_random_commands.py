"""Whatever is given, a command ends with a status of its own and a line, and leaves nothing half-made (``campaign.py``)."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_hostile_files_options_and_run_folders(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    campaign = [sys.executable, "-m", "tests.cli.campaign", "--count", "100", "--seed", "14", "--keep", str(tmp_path)]
    run = subprocess.run(campaign, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.splitlines()[-1].startswith("100 cases, ")
