"""The configuration of a finished run: `--config=configs/run.py:WORKDIR`.

`main.py` takes it by itself for every mode but `train`, so that overrides
such as `--config.evaluation.samples=1000` work on a run's own configuration.
"""

from ml_collections import ConfigDict

from configs import base
from genlat import workdir


def get_config(path: str = "") -> ConfigDict:
  """The resolved configuration in `path`/run.json.

  Keys that genlat has gained since take their defaults.
  """
  config = base.base()
  config.update(workdir.read(path).config)
  return config.lock()
