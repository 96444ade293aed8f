"""IntroVAE on CelebA-HQ at 256x256: Huang et al. 2018, arXiv:1807.06358.

Give the folder or zip of images by `--config.data.path`. 38,902,275 weights.
The paper trains a day with batch 32, the code in float32, here it is bfloat16;
its FID is of 1024 pixels. The folder is
cut by a hash, about nine tenths to train, where the paper has 29,000 to 1,000;
images are resized bilinearly, in the code bicubically. Presets `paper` (the
default), `official`, `vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on CelebA-HQ at 256x256."""
  config = introspective.introvae(
    (32, 64, 128, 256, 512, 512), 512, margin=120.0, beta=0.05, batch_size=32
  )
  config.data.name = "folder"
  config.data.image_size = 256
  config.data.flip = True
  config.epochs = 500.0
  config.model.dtype = "bfloat16"
  return introspective.finish(config, words, batch_size=16)
