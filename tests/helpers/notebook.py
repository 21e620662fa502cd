"""Runs notebooks and stores what they show: ``python tests/helpers/notebook.py docs/tutorial/notebook.ipynb``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from nbclient import NotebookClient

SECONDS = 300  # for a cell


def executed(path: Path) -> nbformat.NotebookNode:
    """The notebook with what its cells show, after a run in an empty folder.

    Raises CellExecutionError where a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    # This checkout, whatever is installed; the kernel's history and settings stay out of the user's home.
    checkout = str(Path(__file__).parents[2])
    before = dict(os.environ)
    with TemporaryDirectory() as folder:
        os.environ |= {"PYTHONPATH": checkout, "IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder}
        place = {"metadata": {"path": folder}}
        try:
            NotebookClient(notebook, timeout=SECONDS, kernel_name="python3", resources=place).execute()
        finally:
            os.environ.clear()
            os.environ |= before
    return notebook


def stored(path: Path) -> None:
    """Run the notebook and write it again, without what differs from run to run."""
    notebook = executed(path)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k}"
        cell.metadata = {}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        stored(Path(name))
