"""Run all notebooks anew and store their outputs (`make notebooks`).

What is stored is a function of the sources: a fixed hash seed, no times of execution, no widget state
(its ids are random, and a widget's text twin stands in a cell of its own), no version of the kernel.
So a second run changes nothing, and a diff shows what changed in the lab.

    python tools/run_notebooks.py [NOTEBOOK ...] [--into FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}


def run(notebook: dict[str, Any], folder: Path, timeout: int = 60) -> dict[str, Any]:
    """Execute a notebook (nbformat 4, as a dict) with `folder` as working directory; returns it with outputs.

    Raises nbclient's CellExecutionError, except for cells tagged `raises-exception`.
    """
    import nbformat
    from nbclient import NotebookClient

    node = nbformat.reads(json.dumps(notebook), as_version=4)
    with tempfile.TemporaryDirectory() as scratch:
        environment = {
            "PYTHONHASHSEED": "0",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")])),
            "KUBENET_PROGRESS": str(Path(scratch) / "progress.json"),
            "IPYTHONDIR": scratch,
            "MPLCONFIGDIR": scratch,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        old = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        try:
            client = NotebookClient(node, timeout=timeout, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
            client.store_widget_state = False
            client.execute()
        finally:
            for name, value in old.items():
                if value is None:
                    os.environ.pop(name)
                else:
                    os.environ[name] = value
    done: dict[str, Any] = json.loads(nbformat.writes(node))
    return done


def normalised(notebook: dict[str, Any]) -> dict[str, Any]:
    """The notebook without what differs from run to run or from machine to machine."""
    metadata = {k: v for k, v in notebook["metadata"].items() if k not in ("widgets", "kernelspec", "language_info")}
    cells = []
    for cell in notebook["cells"]:
        kept = {k: v for k, v in cell["metadata"].items() if k not in ("execution", "collapsed", "scrolled", "trusted")}
        fresh = {**cell, "metadata": kept}
        if cell["cell_type"] == "code":
            fresh["outputs"] = [_normalised_output(output) for output in _merged_streams(cell["outputs"])]
        cells.append(fresh)
    language = {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"}
    return {
        "cells": cells,
        "metadata": {**metadata, "kernelspec": KERNELSPEC, "language_info": language},
        "nbformat": notebook["nbformat"],
        "nbformat_minor": notebook["nbformat_minor"],
    }


def _merged_streams(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Chunks of one stream come as the kernel flushes them: join neighbours."""
    merged: list[dict[str, Any]] = []
    for output in outputs:
        if output["output_type"] == "stream" and merged and merged[-1].get("name") == output["name"]:
            text = "".join(merged[-1]["text"]) + "".join(output["text"])
            merged[-1] = {**merged[-1], "text": text.splitlines(keepends=True)}
        else:
            merged.append(output)
    return merged


def _normalised_output(output: dict[str, Any]) -> dict[str, Any]:
    if "data" in output and WIDGET_VIEW in output["data"]:
        output = {**output, "data": {k: v for k, v in output["data"].items() if k != WIDGET_VIEW}}
    if output["output_type"] == "error":
        output = {**output, "traceback": [f"{output['ename']}: {output['evalue']}"]}
    return output


def text(notebook: dict[str, Any]) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in notebooks/")
    parser.add_argument("--into", type=Path, default=None, metavar="FOLDER", help="write there instead of in place")
    args = parser.parse_args()
    changed = 0
    for path in args.notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        before = path.read_text(encoding="utf-8")
        after = text(normalised(run(json.loads(before), path.parent)))
        target = path if args.into is None else args.into / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(after, encoding="utf-8", newline="\n")
        changed += before != after
        print(f"{path.name}: {'changed' if before != after else 'as before'}")
    print(f"{changed} changed; look at the diff before you commit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
