"""PyTorch peer of IntroVAE: the official networks and alternating step.

Images are decoded once; the gradient of the second turn is sent back through
the graph that the first one kept, as the official code does, without its
in-place fault (the graph is only walked through the decoder).
"""

from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.alternate import Rival

MARGIN, ALPHA, BETA = 110.0, 0.25, 0.5


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

  def __init__(
    self, channels: Sequence[int], latent: int, *, last: bool, fused: bool
  ) -> None:
    """Builds networks.

    Args:
      channels: width after each halving.
      latent: dimensions of a code.
      last: whether channels lie last in memory.
      fused: whether Adam is one kernel.
    """
    self.nets = [encoder(channels, latent), decoder(channels, latent)]
    if last:
      self.nets = [n.to(memory_format=torch.channels_last) for n in self.nets]
    self.adam = [
      torch.optim.Adam(n.parameters(), lr=2e-4, fused=fused) for n in self.nets
    ]
    self.latent = latent

  def step(self, x: torch.Tensor) -> None:
    """The encoder's move, then the decoder's."""
    phi, theta = (list(n.parameters()) for n in self.nets)
    mean, log_var = self.nets[0](x).chunk(2, 1)
    z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
    fake = self.nets[1](torch.randn(len(x), self.latent))
    image = self.nets[1](z)
    made = [image.detach().requires_grad_(), fake.detach().requires_grad_()]
    error = 0.5 * (image - x).square().flatten(1).sum(1).mean()
    loss = _kl(mean, log_var).mean() + BETA * error
    for y in made:
      energy = _kl(*self.nets[0](y.detach()).chunk(2, 1))
      loss = loss + ALPHA * torch.relu(MARGIN - energy).mean()
    self._move(0, phi, torch.autograd.grad(loss, phi, retain_graph=True))

    loss = torch.zeros(())
    for y in made:
      loss = loss + ALPHA * _kl(*self.nets[0](y).chunk(2, 1)).mean()
    sent = list(torch.autograd.grad(loss, made))
    wanted = BETA * (image.detach() - x) / len(x)
    back = [sent[0] + wanted, sent[1]]
    self._move(1, theta, torch.autograd.grad([image, fake], theta, back))

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


def rivals(
  channels: Sequence[int], latent: int, batch: torch.Tensor, steps: int
) -> list[Rival]:
  """Eager, and channels last with a fused Adam.

  Args:
    channels: width after each halving.
    latent: dimensions of a code.
    batch: float32 `[B, 3, S, S]`.
    steps: number of steps a call makes.
  """
  return [
    _rival(
      "PyTorch eager",
      Game(channels, latent, last=False, fused=False),
      batch,
      steps,
    ),
    _rival(
      "PyTorch channels_last",
      Game(channels, latent, last=True, fused=True),
      batch.contiguous(memory_format=torch.channels_last),
      steps,
    ),
  ]


def _rival(name: str, game: Game, batch: torch.Tensor, steps: int) -> Rival:
  def run() -> None:
    for _ in range(steps):
      game.step(batch)

  return Rival(name, run, steps)
