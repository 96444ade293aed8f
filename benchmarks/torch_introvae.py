"""PyTorch peer of IntroVAE: the official networks and alternating step.

Images are decoded once; the gradient of the second turn is sent back through
the graph that the first one kept, as the official code does, without its
in-place fault (the graph is only walked through the decoder).
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.alternate import Rival


@dataclasses.dataclass(frozen=True)
class Numbers:
  """Of the game.

  Attributes:
    channels: width after each halving.
    latent: dimensions of a code.
    margin: m, nats.
    alpha_encoder: weight of each hinge.
    alpha_decoder: weight of each energy.
    weight: of the squared error, summed over pixels.
    lr: Adam's rate.
  """

  channels: tuple[int, ...]
  latent: int
  margin: float
  alpha_encoder: float
  alpha_decoder: float
  weight: float
  lr: float


class Residual(nn.Module):
  """Two 3x3 convolutions and a skip; the last normalisation is of the sum."""

  def __init__(self, inputs: int, features: int) -> None:
    """Maps `inputs` to `features` channels."""
    super().__init__()
    conv = nn.Conv2d(inputs, features, 1, bias=False)
    self.skip = conv if inputs != features else nn.Identity()
    self.branch = nn.Sequential(
      nn.Conv2d(inputs, features, 3, padding=1, bias=False),
      nn.BatchNorm2d(features),
      nn.LeakyReLU(0.2),
      nn.Conv2d(features, features, 3, padding=1, bias=False),
    )
    self.norm = nn.BatchNorm2d(features)
    self.leak = nn.LeakyReLU(0.2)

  def forward(self, x: torch.Tensor) -> torch.Tensor:
    """The block."""
    return self.leak(self.norm(self.branch(x) + self.skip(x)))

  def adopt(self, weights: Mapping[str, Any]) -> None:
    """Takes the weights of genlat's block."""
    for part, name in ((0, "conv_1"), (3, "conv_2")):
      _fill(self.branch[part], weights[name])
    _fill(self.branch[1], weights["norm_1"]["batch"])
    _fill(self.norm, weights["norm_2"]["batch"])
    if "skip" in weights:
      _fill(self.skip, weights["skip"])


def _fill(layer: nn.Module, weights: Mapping[str, Any]) -> None:
  """Copies kernel or scale, and bias, into a layer."""
  kernel = np.asarray(weights.get("kernel", weights.get("scale")))
  turned = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[kernel.ndim]
  with torch.no_grad():
    layer.weight.copy_(torch.from_numpy(kernel.transpose(turned).copy()))
    if "bias" in weights:
      layer.bias.copy_(torch.from_numpy(np.array(weights["bias"])))


def encoder(channels: Sequence[int], latent: int) -> nn.Module:
  """Images to `[B, 2d]`."""
  layers: list[nn.Module] = [
    nn.Conv2d(3, channels[0], 5, padding=2, bias=False),
    nn.BatchNorm2d(channels[0]),
    nn.LeakyReLU(0.2),
    nn.AvgPool2d(2),
  ]
  for before, after in zip(channels, channels[1:], strict=False):
    layers += [Residual(before, after), nn.AvgPool2d(2)]
  layers += [Residual(channels[-1], channels[-1]), nn.Flatten()]
  return nn.Sequential(*layers, nn.Linear(16 * channels[-1], 2 * latent))


def decoder(channels: Sequence[int], latent: int) -> nn.Module:
  """Codes `[B, d]` to images."""
  layers: list[nn.Module] = [
    nn.Linear(latent, 16 * channels[-1]),
    nn.ReLU(),
    nn.Unflatten(1, (channels[-1], 4, 4)),
  ]
  before = channels[-1]
  for after in reversed(channels):
    layers += [Residual(before, after), nn.Upsample(scale_factor=2)]
    before = after
  layers += [Residual(before, before), nn.Conv2d(before, 3, 5, padding=2)]
  return nn.Sequential(*layers)


class Game:
  """Both networks, their optimisers, and one step."""

  def __init__(self, numbers: Numbers, *, last: bool, fused: bool) -> None:
    """Builds networks.

    Args:
      numbers: of the game.
      last: whether channels lie last in memory.
      fused: whether Adam is one kernel.
    """
    self.numbers = numbers
    shape = numbers.channels, numbers.latent
    self.nets = [encoder(*shape), decoder(*shape)]
    if last:
      self.nets = [n.to(memory_format=torch.channels_last) for n in self.nets]
    self.adam = [
      torch.optim.Adam(n.parameters(), lr=numbers.lr, fused=fused)
      for n in self.nets
    ]

  def adopt(self, params: Mapping[str, Any]) -> None:
    """Takes the weights of genlat's networks, arrays by name."""
    levels = range(1, len(self.numbers.channels) + 1)
    down = [f"block_{k}" for k in levels[:-1]] + ["block_last"]
    up = [f"block_{k}" for k in reversed(levels)] + ["block_0"]
    for net, ours, names in (
      (self.nets[0], params["encoder"], down),
      (self.nets[1], params["decoder"], up),
    ):
      blocks = [part for part in net if isinstance(part, Residual)]
      for block, name in zip(blocks, names, strict=True):
        block.adopt(ours[name])
    first, last = self.nets[0], self.nets[1]
    _fill(first[0], params["encoder"]["stem"])
    _fill(first[1], params["encoder"]["stem_norm"]["batch"])
    _fill(last[-1], params["decoder"]["head"])
    # Maps have channels last where they meet genlat's dense layers.
    width = self.numbers.channels[-1]
    seen = np.arange(16 * width).reshape(4, 4, width).transpose(2, 0, 1).ravel()
    head, stem = params["encoder"]["head"], params["decoder"]["stem"]
    _fill(first[-1], {**head, "kernel": np.asarray(head["kernel"])[seen]})
    turned = {name: np.asarray(stem[name])[..., seen] for name in stem}
    _fill(last[0], turned)

  def step(
    self,
    x: torch.Tensor,
    noise: torch.Tensor | None = None,
    prior: torch.Tensor | None = None,
  ) -> tuple[torch.Tensor, torch.Tensor]:
    """The encoder's move, then the decoder's.

    Args:
      x: `[B, 3, S, S]`.
      noise: of the posterior's draw, `[B, latent]`; None = drawn.
      prior: codes of the made images, likewise.

    Returns:
      The losses of both turns, the second with the reconstruction.
    """
    game = self.numbers
    phi, theta = (list(n.parameters()) for n in self.nets)
    mean, log_var = self.nets[0](x).chunk(2, 1)
    noise = torch.randn_like(mean) if noise is None else noise
    z = mean + torch.exp(0.5 * log_var) * noise
    fake = self.nets[1](
      torch.randn(len(x), game.latent) if prior is None else prior
    )
    image = self.nets[1](z)
    made = [image.detach().requires_grad_(), fake.detach().requires_grad_()]
    error = game.weight * (image - x).square().flatten(1).sum(1).mean()
    loss = _kl(mean, log_var).mean() + error
    for y in made:
      energy = _kl(*self.nets[0](y.detach()).chunk(2, 1))
      hinge = torch.relu(game.margin - energy).mean()
      loss = loss + game.alpha_encoder * hinge
    self._move(0, phi, torch.autograd.grad(loss, phi, retain_graph=True))
    first = loss.detach()

    loss = torch.zeros(())
    for y in made:
      energy = _kl(*self.nets[0](y).chunk(2, 1)).mean()
      loss = loss + game.alpha_decoder * energy
    sent = list(torch.autograd.grad(loss, made))
    wanted = 2.0 * game.weight * (image.detach() - x) / len(x)
    back = [sent[0] + wanted, sent[1]]
    self._move(1, theta, torch.autograd.grad([image, fake], theta, back))
    return first, loss.detach() + error.detach()

  def _move(
    self,
    which: int,
    weights: list[nn.Parameter],
    gradients: Sequence[torch.Tensor],
  ) -> None:
    for weight, gradient in zip(weights, gradients, strict=True):
      weight.grad = gradient
    self.adam[which].step()


def _kl(mean: torch.Tensor, log_var: torch.Tensor) -> torch.Tensor:
  return 0.5 * (log_var.exp() + mean.square() - 1.0 - log_var).sum(1)


def count(channels: Sequence[int], latent: int) -> int:
  """Number of trained parameters."""
  nets = encoder(channels, latent), decoder(channels, latent)
  return sum(p.numel() for net in nets for p in net.parameters())


def rivals(numbers: Numbers, batch: torch.Tensor, steps: int) -> list[Rival]:
  """Eager, and channels last with a fused Adam.

  Args:
    numbers: of the game.
    batch: float32 `[B, 3, S, S]`.
    steps: number of steps a call makes.
  """
  return [
    _rival(
      "PyTorch eager",
      Game(numbers, last=False, fused=False),
      batch,
      steps,
    ),
    _rival(
      "PyTorch channels_last",
      Game(numbers, last=True, fused=True),
      batch.contiguous(memory_format=torch.channels_last),
      steps,
    ),
  ]


def _rival(name: str, game: Game, batch: torch.Tensor, steps: int) -> Rival:
  def run() -> None:
    for _ in range(steps):
      game.step(batch)

  return Rival(name, run, steps)
