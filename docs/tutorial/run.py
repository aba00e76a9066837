"""Runs the tutorial against a server of its own: run.py TILEHOUSE [--write].

The notebook fails where a statement does, or where one of its own assertions does not hold. --write keeps the outputs in it.
"""
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

notebook = Path(__file__).with_name("fraud.ipynb")
with tempfile.TemporaryDirectory() as tmp:
    files = Path(tmp, "payments")
    files.mkdir()
    server = subprocess.Popen([sys.argv[1], "serve", "--data", str(Path(tmp, "data")), "--file-root", str(files), "--listen", "127.0.0.1:0"],
                              stdout=subprocess.PIPE, text=True)
    try:
        ready = server.stdout.readline()
        os.environ.update(PGHOST="127.0.0.1", PGPORT=re.search(r"127\.0\.0\.1:(\d+)", ready).group(1), TILEHOUSE_FILES=str(files))
        nb = nbformat.read(notebook, as_version=4)
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc")  # ports of TCP could be taken in between
        NotebookClient(nb, km=kernel, timeout=600).execute()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)
if "--write" in sys.argv:
    for cell in nb.cells:
        cell.metadata.pop("execution", None)  # the times of the run
    nbformat.write(nb, notebook)
for cell in nb.cells:
    for out in cell.get("outputs", []):
        print(out.get("text") or out.get("data", {}).get("text/plain", ""))
print(f"{sum(c.cell_type == 'code' for c in nb.cells)} passed, 0 failed")
