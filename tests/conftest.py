"""One thread everywhere: results do not depend on how many cores the machine has, and workers do not compete."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
