"""PyTorch peers: the same layers, parameter counts, losses and train step.

A step is zero_grad, forward, backward and Adam on a batch that lies in memory.
Only this folder imports PyTorch; genlat does not need it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.alternate import Rival

Loss = Callable[[nn.Module, torch.Tensor], torch.Tensor]


class Vae(nn.Module):
  """Encoder and decoder with a Gaussian code between them."""

  def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
    """Takes images to `[B, 2d]`, and codes `[B, d]` to images."""
    super().__init__()
    self.encoder, self.decoder = encoder, decoder

  def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The mean image, and mean and log-variance of the posterior."""
    mean, log_var = self.encoder(x).chunk(2, 1)
    noise = torch.randn_like(mean)
    z = mean + torch.exp(0.5 * log_var) * noise
    return torch.tanh(self.decoder(z)) * 0.5 + 0.5, mean, log_var


def vae_loss(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
  """Squared error over pixels plus KL, mean over the batch."""
  image, mean, log_var = model(x)
  error = (image - x).square().flatten(1).sum(1)
  kl = 0.5 * (mean.square() + log_var.exp() - 1.0 - log_var).sum(1)
  return (error + kl).mean()


def vae28(latent: int = 20) -> Vae:
  """The 28x28 network of Generative Latent Flow as a VAE."""
  encoder = nn.Sequential(
    *(nn.Conv2d(1, 64, 4, 2, 1), nn.ReLU()),
    *(nn.Conv2d(64, 128, 4, 2, 1), nn.BatchNorm2d(128), nn.ReLU()),
    nn.Flatten(),
    *(nn.Linear(128 * 49, 1024), nn.BatchNorm1d(1024), nn.ReLU()),
    nn.Linear(1024, 2 * latent),
  )
  decoder = nn.Sequential(
    *(nn.Linear(latent, 1024), nn.BatchNorm1d(1024), nn.ReLU()),
    *(nn.Linear(1024, 128 * 49), nn.BatchNorm1d(128 * 49), nn.ReLU()),
    nn.Unflatten(1, (128, 7, 7)),
    *(nn.ConvTranspose2d(128, 64, 4, 2, 1), nn.BatchNorm2d(64), nn.ReLU()),
    nn.ConvTranspose2d(64, 1, 4, 2, 1),
  )
  return _started(Vae(encoder, decoder))


def vae64(latent: int = 64) -> Vae:
  """A DCGAN-sized VAE of 64x64 colour images, 7.1 million parameters.

  Four 4x4 convolutions of stride 2 with 64, 128, 256 and 512 channels, batch
  normalisation and ReLU (none after the first), one linear layer, and their
  mirror.
  """
  encoder: list[nn.Module] = [nn.Conv2d(3, 64, 4, 2, 1), nn.ReLU()]
  for c in (64, 128, 256):
    encoder += [nn.Conv2d(c, 2 * c, 4, 2, 1), nn.BatchNorm2d(2 * c), nn.ReLU()]
  encoder += [nn.Flatten(), nn.Linear(512 * 16, 2 * latent)]
  decoder: list[nn.Module] = [
    nn.Linear(latent, 512 * 16),
    nn.Unflatten(1, (512, 4, 4)),
    *(nn.BatchNorm2d(512), nn.ReLU()),
  ]
  for c in (512, 256, 128):
    half = c // 2
    decoder += [nn.ConvTranspose2d(c, half, 4, 2, 1)]
    decoder += [nn.BatchNorm2d(half), nn.ReLU()]
  decoder += [nn.ConvTranspose2d(64, 3, 4, 2, 1)]
  return _started(Vae(nn.Sequential(*encoder), nn.Sequential(*decoder)))


class Coupling(nn.Module):
  """A two-sided affine coupling, and the permutation after it."""

  def __init__(self, size: int, hidden: int, seed: int) -> None:
    """Four subnets of three linear layers."""
    super().__init__()
    self.split = size // 2
    first, second = self.split, size - self.split
    self.scale_1, self.shift_1 = (
      _subnet(second, hidden, first) for _ in range(2)
    )
    self.scale_2, self.shift_2 = (
      _subnet(first, hidden, second) for _ in range(2)
    )
    order = np.random.RandomState(seed).permutation(size)
    self.register_buffer("order", torch.from_numpy(order))

  def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The transformed code and the log-determinant `[B]`."""
    x1, x2 = x[:, : self.split], x[:, self.split :]
    log_1 = 2.0 * 0.636 * torch.atan(self.scale_1(x2))
    y1 = torch.exp(log_1) * x1 + self.shift_1(x2)
    log_2 = 2.0 * 0.636 * torch.atan(self.scale_2(y1))
    y2 = torch.exp(log_2) * x2 + self.shift_2(y1)
    y = torch.cat([y1, y2], 1)[:, self.order]
    return y, log_1.sum(1) + log_2.sum(1)


class Flow(nn.Module):
  """Codes to noise, `[B, d]`, and the log-determinant `[B]`."""

  def __init__(self, size: int = 64, blocks: int = 4, hidden: int = 256):
    """Couplings without batch normalisation."""
    super().__init__()
    self.blocks = nn.ModuleList(
      Coupling(size, hidden, seed) for seed in range(blocks)
    )

  def forward(self, z: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Runs all blocks."""
    logdet = torch.zeros(len(z))
    for block in self.blocks:
      z, part = block(z)
      logdet = logdet + part
    return z, logdet


def flow_loss(model: nn.Module, z: torch.Tensor) -> torch.Tensor:
  """Mean negative log-likelihood of codes, nats."""
  noise, logdet = model(z)
  constant = 0.5 * z.shape[1] * float(np.log(2.0 * np.pi))
  return (0.5 * noise.square().sum(1) + constant - logdet).mean()


def _subnet(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
  return nn.Sequential(
    *(nn.Linear(inputs, hidden), nn.ReLU()),
    *(nn.Linear(hidden, hidden), nn.ReLU()),
    nn.Linear(hidden, outputs),
  )


def _started(model: Vae) -> Vae:
  """Weights N(0, 0.02) and biases 0."""
  for layer in model.modules():
    if isinstance(layer, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
      nn.init.normal_(layer.weight, std=0.02)
      nn.init.zeros_(layer.bias)
  return model


def count(model: nn.Module) -> int:
  """Number of trained parameters."""
  return sum(p.numel() for p in model.parameters() if p.requires_grad)


def rivals(
  make: Callable[[], nn.Module],
  loss: Loss,
  batch: np.ndarray,
  steps: int,
  *,
  clip: float = 0.0,
  compiles: bool = True,
) -> list[Rival]:
  """PyTorch's ways to run the step: eager, fused, channels last, compiled.

  Args:
    make: builds the model.
    loss: of the model on a batch.
    batch: float32 `[B, C, H, W]`, `[B, H, W]` or `[B, d]`.
    steps: number of steps a call makes.
    clip: largest global norm of the gradient; 0 = off.
    compiles: whether torch.compile is one of them: it unrolls loops.
  """
  kinds: list[tuple[str, dict[str, Any]]] = [("PyTorch eager", {})]
  kinds += [("PyTorch fused Adam", {"fused": True})]
  if batch.ndim == 4:
    kinds += [("PyTorch channels_last", {"fused": True, "last": True})]
  compiled = {"fused": True, "last": batch.ndim == 4, "compiled": True}
  if compiles:
    kinds += [("PyTorch compile", compiled)]
  found = []
  for name, kind in kinds:
    try:
      found.append(_rival(name, make(), loss, batch, steps, clip, **kind))
    except Exception as error:  # torch.compile needs a C++ compiler
      print(f"{name} left out: {str(error).strip().splitlines()[0]}")
  return found


def _rival(
  name: str,
  model: nn.Module,
  loss: Loss,
  batch: np.ndarray,
  steps: int,
  clip: float,
  *,
  fused: bool = False,
  last: bool = False,
  compiled: bool = False,
) -> Rival:
  data = torch.from_numpy(batch)
  if last:
    model = model.to(memory_format=torch.channels_last)
    data = data.contiguous(memory_format=torch.channels_last)
  trained = [p for p in model.parameters() if p.requires_grad]
  adam = torch.optim.Adam(trained, lr=1e-4, fused=fused)
  objective = torch.compile(loss) if compiled else loss

  def run() -> None:
    for _ in range(steps):
      adam.zero_grad()
      objective(model, data).backward()
      if clip:
        nn.utils.clip_grad_norm_(trained, clip)
      adam.step()

  run()  # compiles here, where a failure is caught
  return Rival(name, run, steps)
