"""From an image file to a uint8 array: colours, central crop, resize.

The filter of every resize is Pillow's BILINEAR: a triangle whose support grows
with the reduction, hence antialiased (what torchvision's Resize does to a PIL
image, and with it the public port of GLF). It works on the 8-bit image.
"""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from genlat.data.source import LEAVE_OUT, DataError

FILTER = Image.Resampling.BILINEAR


@dataclass(frozen=True)
class Recipe:
  """How an image is cut and resized.

  Attributes:
    crop: pixels of the central square that is cut out first; 0 = the largest.
    image_size: pixels of a side afterwards; 0 = no resize.
  """

  crop: int
  image_size: int


def fit(image: Image.Image, recipe: Recipe, where: str) -> Image.Image:
  """Cuts the central square and resizes it.

  Args:
    image: an 8-bit image.
    recipe: crop and size; an odd rest leaves one more pixel below and right.
    where: the file, for the error.

  Raises:
    DataError: if the image is smaller than the crop.
  """
  width, height = image.size
  side = recipe.crop or min(width, height)
  if side > min(width, height):
    raise DataError(
      f"{where}: image of {width}x{height} pixels is smaller than the crop of"
      f" {side}x{side}; lower config.data.crop or take the image away"
    )
  left, top = (width - side) // 2, (height - side) // 2
  if (width, height) != (side, side):
    image = image.crop((left, top, left + side, top + side))
  size = recipe.image_size or side
  return image if size == side else image.resize((size, size), FILTER)


def fit_array(images: np.ndarray, recipe: Recipe, name: str) -> np.ndarray:
  """`fit` for every image of uint8 `[N, H, W, C]`; a copy only if it must."""
  side = min(images.shape[1:3])
  square = images.shape[1] == images.shape[2]
  if square and recipe.crop in (0, side) and recipe.image_size in (0, side):
    return images
  grey = images.shape[-1] == 1
  flat = images[..., 0] if grey else images
  out = np.stack(
    [np.asarray(fit(Image.fromarray(x), recipe, name)) for x in flat]
  )
  return out[..., None] if grey else out


def decode(data: bytes, recipe: Recipe, where: str) -> np.ndarray:
  """Decodes one image file, cuts and resizes it.

  Args:
    data: the bytes of the file.
    recipe: crop and size.
    where: the file, for the error.

  Returns:
    uint8 `[H, W, 3]`.

  Raises:
    DataError: if the file cannot be decoded or is smaller than the crop.
  """
  return np.asarray(fit(decode_whole(data, where), recipe, where))


def decode_whole(data: bytes, where: str) -> Image.Image:
  """Decodes one image file.

  EXIF orientation is applied, transparency is composited on white, 16-bit grey
  is reduced to 8 bits, and the result is RGB.

  Args:
    data: the bytes of the file.
    where: the file, for the error.

  Raises:
    DataError: if the file cannot be decoded.
  """
  try:
    with Image.open(io.BytesIO(data)) as opened:
      opened.load()
      return _rgb(ImageOps.exif_transpose(opened))
  except Exception as error:  # Pillow's plug-ins raise anything on damage
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, UnidentifiedImageError):  # its text is an address
      reason = "not an image"
    raise DataError(
      f"{where}: corrupt image, cannot be decoded ({reason}, {len(data)}"
      f" bytes); put the original file back, or {LEAVE_OUT}"
    ) from error


def _rgb(image: Image.Image) -> Image.Image:
  """Any mode to RGB, transparency on white."""
  if image.mode.startswith("I"):  # 16 bits; Pillow's convert would clip them
    wide = np.asarray(image).astype(np.int64)
    image = Image.fromarray((wide >> 8).clip(0, 255).astype(np.uint8))
  if image.has_transparency_data:
    rgba = image.convert("RGBA")
    white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
    image = Image.alpha_composite(white, rgba)
  return image.convert("RGB")
