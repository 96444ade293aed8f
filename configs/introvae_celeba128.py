"""IntroVAE on CelebA at 128x128: Huang et al. 2018, arXiv:1807.06358.

Margin and weights are recalled and agreed by ports; widths are
Soft-IntroVAE's; the crop of 178 pixels is CelebA's usual one, the paper names
none. The paper trains half a day on its GPUs with batch 64; MS-SSIM
.2719 of 10,000 pairs (recalled from memory, not confirmed). Presets `paper`
(the default), `official`, `vae`: configs/introspective.py.
"""

from ml_collections import ConfigDict

from configs import introspective


def get_config(words: str = "") -> ConfigDict:
  """IntroVAE on CelebA at 128x128."""
  config = introspective.introvae(
    (64, 128, 256, 512, 512), 256, margin=110.0, beta=0.5, batch_size=64
  )
  config.data.name = "celeba"
  config.data.crop = 178
  config.data.image_size = 128
  config.data.flip = True
  config.epochs = 200.0
  return introspective.finish(config, words)
