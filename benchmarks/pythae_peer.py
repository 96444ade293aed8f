"""pythae's own trainer on the same network: loader, step and bookkeeping.

Left out where pythae is not installed (`pip install pythae`).
"""

import logging
import tempfile

import numpy as np
import torch

from benchmarks.alternate import Rival
from benchmarks.torch_peers import Vae


def rival(
  model: Vae, images: np.ndarray, batch: int, latent: int
) -> Rival | None:
  """One epoch of `BaseTrainer`.

  Args:
    model: the network that it trains.
    images: float32 `[N, C, H, W]`; N is a multiple of the batch.
    batch: examples per step.
    latent: dimensions of a code.

  Returns:
    The rival, or None where pythae is not installed.
  """
  try:
    from pythae.data.datasets import BaseDataset
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
  except ImportError as error:
    print(f"pythae's trainer left out: {error}")
    return None

  class Encoder(BaseEncoder):
    def __init__(self) -> None:
      super().__init__()
      self.net = model.encoder

    def forward(self, x: torch.Tensor) -> ModelOutput:
      mean, log_var = self.net(x).chunk(2, 1)
      return ModelOutput(embedding=mean, log_covariance=log_var)

  class Decoder(BaseDecoder):
    def __init__(self) -> None:
      super().__init__()
      self.net = model.decoder

    def forward(self, z: torch.Tensor) -> ModelOutput:
      return ModelOutput(reconstruction=torch.tanh(self.net(z)) * 0.5 + 0.5)

  vae = VAE(
    VAEConfig(input_dim=images.shape[1:], latent_dim=latent),
    encoder=Encoder(),
    decoder=Decoder(),
  )
  data = BaseDataset(torch.from_numpy(images), torch.zeros(len(images)))
  logging.disable(logging.WARNING)
  with tempfile.TemporaryDirectory() as folder:
    settings = BaseTrainerConfig(
      output_dir=folder,
      per_device_train_batch_size=batch,
      learning_rate=1e-4,
      no_cuda=True,
    )
    trainer = BaseTrainer(vae, data, training_config=settings)
    trainer.prepare_training()
  logging.disable(logging.NOTSET)
  # Its progress bar is left out, in its favour: it prints every step.
  trainer.callback_handler.callbacks = []
  return Rival(
    "pythae's trainer",
    lambda: trainer.train_step(epoch=1) and None,
    len(images) // batch,
  )
