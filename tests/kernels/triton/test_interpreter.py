"""All cases of ``interpreted*.py``, in processes where Triton's interpreter runs the kernels on the CPU."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed: pip install -e .[dev]")
@pytest.mark.parametrize("name", [f"interpreted{what}.py" for what in ("", "_units", "_together", "_scan", "_graphs")])
def test_kernels_agree_with_the_reference_in_tritons_interpreter(name):
    cases = Path(__file__).with_name(name)
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", str(cases)],
        env=environment, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert "skipped" not in done.stdout
