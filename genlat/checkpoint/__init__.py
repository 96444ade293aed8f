"""Checkpoints that survive kills, full disks and flipped bits; the run lock."""

from genlat.checkpoint.failures import CheckpointError
from genlat.checkpoint.leaves import fingerprints
from genlat.checkpoint.lock import RunLock
from genlat.checkpoint.manager import Checkpoints

__all__ = ["CheckpointError", "Checkpoints", "RunLock", "fingerprints"]
