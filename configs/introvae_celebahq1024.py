"""IntroVAE on CelebA-HQ at 1024x1024: Huang et al. 2018, arXiv:1807.06358.

Give the folder or zip of images by `--config.data.path`. 48,349,187 weights,
bfloat16, blocks recomputed going back: docs/introvae.md says what it needs. Our
BatchNorm takes the statistics of the whole batch, the official code those of
the images on each of its GPUs. The
paper trains 21 days with batch 8; FID 5.19 (recalled from memory, not
confirmed). The folder is cut by a hash, about nine tenths to train, where the
paper has 29,000 to 1,000; images are resized bilinearly, in the code
bicubically. Presets `paper` (the default), `official`, `vae`:
configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on CelebA-HQ at 1024x1024."""
  config = introspective.introvae(
    (16, 32, 64, 128, 256, 512, 512, 512),
    512,
    margin=90.0,
    beta=0.0025,
    batch_size=8,
  )
  config.data.name = "folder"
  config.data.image_size = 1024
  config.data.flip = True
  config.epochs = 500.0
  config.model.dtype = "bfloat16"
  config.model.remat = True
  return introspective.finish(
    config,
    words,
    margin=500.0,
    beta=0.01,
    alpha_encoder=0.5,
    batch_size=12,
    pretrain=4.0,
  )
