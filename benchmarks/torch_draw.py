"""DRAW in PyTorch, with the weights and the arithmetic of genlat's.

Attention at reading and writing, an error image, learned initial states and
canvas, cells from zeros; one bias a gate. The steps are a Python loop.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

_CLAMP = 8.0


class Draw(nn.Module):
  """DRAW on grey images."""

  def __init__(
    self,
    side: int,
    steps: int,
    hidden: int,
    latent: int,
    read: int,
    write: int,
  ) -> None:
    """Sizes as in configs/draw_mnist.py; square images of one channel."""
    super().__init__()
    self.side, self.steps, self.latent = side, steps, latent
    self.read, self.write = read, write
    self.encoder = _cell(2 * read * read + hidden, hidden)
    self.decoder = _cell(latent, hidden)
    self.posterior = nn.Linear(hidden, 2 * latent)
    self.patch = nn.Linear(hidden, write * write)
    self.read_window = nn.Linear(hidden, 5)
    self.write_window = nn.Linear(hidden, 5)
    for head in (
      *(self.posterior, self.patch),
      *(self.read_window, self.write_window),
    ):
      nn.init.normal_(head.weight, std=0.01)
      nn.init.zeros_(head.bias)
    self.encoder_start = nn.Parameter(torch.zeros(hidden))
    self.decoder_start = nn.Parameter(torch.zeros(hidden))
    self.canvas_start = nn.Parameter(torch.zeros(side, side))
    self.register_buffer("pixel", torch.arange(1.0, side + 1))

  def adopt(self, weights: Mapping[str, Any]) -> None:
    """Takes the weights of genlat's network `draw`, arrays by name."""
    n, size = self.read, len(self.encoder_start)
    # genlat flattens what was read as [N, N, 2], this network as [2, N, N].
    seen = np.arange(2 * n * n).reshape(n, n, 2).transpose(2, 0, 1).ravel()
    order = {"encoder": seen, "decoder": np.arange(self.latent)}
    with torch.no_grad():
      for name, first in order.items():
        cell = getattr(self, name)
        kernel = np.array(weights[f"{name}_kernel"])
        rows = np.concatenate([first, np.arange(len(first), len(kernel))])
        kernel = torch.from_numpy(kernel[rows].T.copy())
        cell.weight_ih.copy_(kernel[:, :-size])
        cell.weight_hh.copy_(kernel[:, -size:])
        cell.bias_ih.copy_(torch.from_numpy(np.array(weights[f"{name}_bias"])))
      for name in ("posterior", "patch", "read_window", "write_window"):
        head = getattr(self, name)
        kernel = np.array(weights[f"{name}_kernel"])
        head.weight.copy_(torch.from_numpy(kernel.T.copy()))
        head.bias.copy_(torch.from_numpy(np.array(weights[f"{name}_bias"])))
      for name in ("encoder_start", "decoder_start", "canvas_start"):
        start = getattr(self, name)
        value = np.array(weights[name]).reshape(start.shape)
        start.copy_(torch.from_numpy(value))

  def loss(
    self, x: torch.Tensor, noise: torch.Tensor | None = None
  ) -> torch.Tensor:
    """The negative bound of images `[B, side, side]`, a mean in nats.

    Args:
      x: in [0, 1].
      noise: standard normal `[T, B, latent]`; None = drawn.
    """
    rows = len(x)
    enc = self.encoder_start.expand(rows, -1)
    dec = self.decoder_start.expand(rows, -1)
    enc_cell, dec_cell = torch.zeros_like(enc), torch.zeros_like(dec)
    canvas = self.canvas_start.expand(rows, -1, -1)
    if noise is None:
      noise = torch.randn(self.steps, rows, self.latent)
    kl = x.new_zeros(())
    for eps in noise:
      rows_, columns, gamma = self._banks(self.read_window(dec), self.read)
      both = torch.stack([x, x - torch.sigmoid(canvas)], 1)
      patch = rows_[:, None] @ both @ columns[:, None].transpose(2, 3)
      seen = (gamma[:, None, None, None] * patch).flatten(1)
      enc, enc_cell = self.encoder(torch.cat([seen, dec], 1), (enc, enc_cell))
      mean, log_sigma = self.posterior(enc).chunk(2, 1)
      code = mean + log_sigma.exp() * eps
      spread = (2.0 * log_sigma).exp()
      terms = mean.square() + spread - 2.0 * log_sigma - 1.0
      kl = kl + 0.5 * terms.sum()
      dec, dec_cell = self.decoder(code, (dec, dec_cell))
      rows_, columns, gamma = self._banks(self.write_window(dec), self.write)
      stroke = self.patch(dec).view(-1, self.write, self.write)
      drawn = rows_.transpose(1, 2) @ stroke @ columns
      canvas = canvas + drawn / gamma[:, None, None]
    rec = functional.binary_cross_entropy_with_logits(
      canvas, x, reduction="sum"
    )
    return (rec + kl) / rows

  def _banks(
    self, raw: torch.Tensor, n: int
  ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Filterbanks of rows and columns `[B, n, side]`, and gamma `[B]`."""
    rest = raw[:, 2:].clamp(-_CLAMP, _CLAMP)
    centre = 0.5 * (self.side + 1) * (raw[:, :2] + 1.0)
    stride = (self.side - 1) / max(n - 1, 1) * rest[:, 1].exp()
    offset = torch.arange(1, n + 1) - n / 2.0 - 0.5
    mean = centre[:, :, None] + offset * stride[:, None, None]
    square = (self.pixel - mean[..., None]).square()
    weight = -0.5 * (-rest[:, 0]).exp()[:, None, None, None]
    banks = torch.softmax(weight * square, -1)
    return banks[:, 1], banks[:, 0], rest[:, 2].exp()


def _cell(inputs: int, hidden: int) -> nn.LSTMCell:
  """PyTorch's fused cell with one of its two biases."""
  cell = nn.LSTMCell(inputs, hidden)
  nn.init.zeros_(cell.bias_hh)
  cell.bias_hh.requires_grad_(False)
  return cell
