"""One thread everywhere: results do not depend on how many cores the machine has, and workers do not compete."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

import torch

torch.set_num_threads(1)
# Processes that tests start are forked from one that has imported what takes seconds.
multiprocessing.get_context("forkserver").set_forkserver_preload(["evenhand.execute", "killable"])
# Decoded images go into a folder of the tests' own, shared by all their processes.
os.environ["EVENHAND_CACHE"] = str(Path(tempfile.gettempdir()) / f"evenhand-test-cache-{os.getuid()}")
