"""Every key of every configuration, once, with its unit.

A file in this folder starts from `base()` and overrides what its experiment
changes. The word after the colon of `--config=configs/x.py:words` names
presets, joined by commas; `smoke` shrinks any of them to seconds.
"""

from collections.abc import Callable

from ml_collections import ConfigDict

from configs import blocks

Presets = dict[str, Callable[[ConfigDict], None]]


def base() -> ConfigDict:
  """All defaults. Sizes are those of GLF on MNIST."""
  config = ConfigDict()
  config.method = "glf"  # a key of genlat.methods.METHODS
  config.seed = 0
  config.batch_size = 256  # images, over all devices
  config.epochs = 100.0  # passes over the train split
  config.steps = 0  # train steps; 0 = from epochs
  config.epoch_steps = 0  # train steps of an epoch; filled in by the loop
  config.steps_per_call = 1  # train steps a dispatch
  config.ema = 0.0  # share of the averaged weights kept a step; 0 = off
  config.data = _data()
  config.model = _model()
  config.flow = blocks.flow()
  config.likelihood = _likelihood()
  config.vae, config.glf = blocks.vae(), blocks.glf()
  config.introspection = blocks.introspection()
  config.introvae = blocks.introvae()
  config.soft_introvae = blocks.soft_introvae()
  config.aae, config.text = blocks.aae(), blocks.text()
  config.draw = blocks.draw()
  config.optimizer = _optimizer()
  config.players = ConfigDict()  # by player: keys of optimizer, its own
  config.prior = _prior()
  config.evaluation = _evaluation()
  config.checkpoint = ConfigDict(
    dict(
      every=1000,  # steps
      keep=2,  # newest checkpoints kept
      best="",  # validation metric, lowest kept too; '' = none
    )
  )
  config.log = ConfigDict(
    dict(
      every=50,  # steps between lines of metrics
      pictures=1000,  # steps between grids; 0 = only at the end
      validate=1000,  # steps between validations; needs data.validation
      tensorboard=True,
      wandb=False,
      watchdog=60.0,  # seconds without a step until a run with peers ends
    )
  )
  config.mesh = ConfigDict(dict(fsdp=1))  # devices that share one copy
  config.weights = ConfigDict(
    dict(
      inception="",  # path of the FID Inception weights
      inception_sha256="",  # '' = the published file's
      vgg="",  # path of the VGG-16 weights
      vgg_sha256="",  # '' = the published file's
    )
  )
  return config


def _data() -> ConfigDict:
  return ConfigDict(
    dict(
      name="mnist",  # a key of genlat.data.DATASETS, or tfds:NAME
      path="",  # folder or archive of the files; '' = none
      image_size=0,  # pixels a side after resizing; 0 = as stored
      crop=0,  # pixels of the central square cut first; 0 = largest
      count=0,  # examples that a synthetic source makes; 0 = its default
      withhold=0,  # pairs of shape and colour that shapes keeps from train
      validation=0.0,  # share of train cut off by a fixed hash
      on_error="raise",  # corrupt images: raise | skip
      feeder="auto",  # auto | resident | streaming
      resident_limit=2.0,  # GiB of data a device may hold
      threads=2,  # of the streaming feeder
      prefetch=4,  # batches
      flip=False,  # random horizontal mirror
      random_crop=0,  # side of a square, random in training; 0 = off
      dequantise=False,  # uniform noise of one grey level
      binarise="none",  # none | fixed | dynamic
    )
  )


def _model() -> ConfigDict:
  return ConfigDict(
    dict(
      architecture="conv",  # conv | residual
      latent=20,  # dimensions of a code
      channels=(64, 128),  # of the two convolutions; residual, aae: more
      hidden=1024,  # units of the dense layer (conv)
      normalisation="batch",  # batch | none; residual: group, too
      placement="sum",  # of a block's last normalisation: sum | branch
      dtype="float32",  # of the compute: float32 | bfloat16
      remat=False,  # recompute activations in the backward pass
    )
  )


def _likelihood() -> ConfigDict:
  return ConfigDict(
    dict(
      name="l2",  # l2 | l1 | bernoulli | gaussian | logistic | perceptual
      activation="tanh",  # tanh | sigmoid | none, of the decoder's output
      scale=1.0,  # std (gaussian) or scale (logistic) at the start, pixels
      learned_scale=False,  # one scalar, trained with the decoder
      levels=0,  # VGG taps (perceptual); 0 = 3 below 64 pixels, else 4
    )
  )


def _optimizer() -> ConfigDict:
  return ConfigDict(
    dict(
      name="adam",  # adam | adamw | rmsprop | sgd
      lr=1e-3,
      lr_scale=1.0,  # multiplies lr; in players it is that player's own
      b1=0.9,
      b2=0.999,
      eps=1e-8,
      momentum=0.0,  # sgd
      weight_decay=0.0,  # decoupled (adamw)
      l2=0.0,  # multiple of the weights added to the gradient
      clip=0.0,  # largest global gradient norm; 0 = off
      accumulate=1,  # parts that a batch is cut into
      schedule="constant",  # constant | step | cosine
      warmup=0,  # steps
      decay_every=50.0,  # epochs (step)
      decay_factor=0.5,  # (step)
    )
  )


def _prior() -> ConfigDict:
  return ConfigDict(
    dict(
      name="none",  # fitted on the codes after training: PRIORS
      components=10,  # of the mixture
      epochs=100.0,  # passes over the codes (flow)
      batch_size=256,  # codes (flow)
      lr=1e-3,  # (flow)
    )
  )


def _evaluation() -> ConfigDict:
  return ConfigDict(
    dict(
      split="test",
      batch_size=250,  # images
      limit=0,  # images read; 0 = the whole split
      metrics=(
        "reconstruction",
        "likelihood",
        "flow_nll",
        "codes",
        "neighbours",
        "frechet",
      ),
      samples=10000,  # made for the Fréchet distance and for pairs
      diversity_side=0,  # pixels at which pairs are compared; 0 = the image's
      classifier_steps=2000,  # of the classifier that scores classes
      lossy_rest="draw",  # codes not kept: draw | mean, of the prior
      neighbour_features="pixels",  # pixels | inception
      batch_statistics=False,  # normalise samples by their own batch
      resize="tf1",  # tf1 | clean
      importance_samples=50,  # of the importance-weighted bound
      seed=0,
    )
  )


def glf_players(config: ConfigDict) -> None:
  """The optimisers of the official GLF code (glf.md 3)."""
  config.optimizer.schedule = "step"
  config.players.autoencoder = ConfigDict(dict(lr_scale=1.0))
  config.players.flow = flow_player()


def flow_player() -> ConfigDict:
  """The flow's optimiser in the official GLF code (glf.md 3)."""
  return ConfigDict(dict(lr_scale=1.0, b1=0.8, b2=0.9, eps=1e-6, l2=2e-5))


def official(config: ConfigDict) -> None:
  """The official GLF flow: BatchNorm in the subnets.

  The library it was built on runs each subnet twice a step, so that the
  averages keep 0.9 * 0.9 of themselves (glf.md 1.1).
  """
  config.flow.batch_norm = True
  config.flow.bn_momentum = 0.81


def smoke(config: ConfigDict) -> None:
  """Shrinks all sizes: some steps on a few made images, in seconds."""
  if config.data.name not in ("digits", "shapes"):
    if config.data.name == "binarized_mnist":
      config.data.name, config.data.binarise = "mnist", "dynamic"
    if config.data.name in ("two_digits", "cluttered_mnist"):
      config.data.name = "mnist"
    grey = config.data.name in ("mnist", "fashion_mnist")
    config.data.image_size = config.data.image_size or (28 if grey else 32)
    config.data.name = "digits" if grey else "shapes"
    config.data.path = ""
  config.data.crop = 0
  config.data.image_size = min(config.data.image_size or 8, 16)
  config.data.random_crop = min(config.data.random_crop, 12)
  config.data.count = 256
  config.batch_size = 16
  config.epochs = 1.0
  config.steps = 4
  config.model.latent = min(config.model.latent, 6)
  config.model.channels = (8, 16)
  config.model.hidden = 32
  if config.model.architecture == "residual":
    config.data.image_size, config.model.channels = 8, (8,)
  if config.method == "aae":
    config.data.image_size, config.model.channels = 8, (4, 8)
    config.model.latent = 16 if config.aae.condition != "none" else 6
    config.aae.image_channels, config.aae.trunk = (4, 8), 16
    config.aae.code_hidden = (16, 8)
    config.aae.noise = min(config.aae.noise, 10)
    config.aae.text_hidden, config.text.size, config.text.steps = 8, 12, 4
  if config.aae.condition == "text":  # no image is drawn smaller
    config.data.image_size, config.model.channels = 16, (4, 4, 8)
    if config.data.random_crop:
      config.data.image_size, config.data.random_crop = 20, 16
  config.draw.steps = min(config.draw.steps, 3)
  config.draw.hidden, config.draw.channels = 16, (3, 4)
  if config.method == "conv_draw_b":
    config.data.image_size = config.draw.hidden = 8
    config.draw.steps = config.model.latent = 2
  config.flow.hidden = 16
  config.flow.blocks = 1
  config.optimizer.warmup = min(config.optimizer.warmup, 2)
  config.introspection.pretrain = min(config.introspection.pretrain, 0.125)
  config.prior.epochs = 1.0
  config.prior.components = 2
  config.evaluation.batch_size = 32
  config.evaluation.samples = 64
  config.evaluation.classifier_steps = 2
  config.evaluation.limit = 64
  config.evaluation.importance_samples = 3
  config.checkpoint.every = 2
  config.log.every = 1
  config.log.pictures = 2
  config.log.validate = 2


def preset(config: ConfigDict, words: str, presets: Presets) -> ConfigDict:
  """Applies the presets named after the colon, in the order given.

  Raises:
    ValueError: for an unknown word, naming the known ones.
  """
  known = {**presets, "smoke": smoke}
  for word in words.split(",") if words else ():
    if word not in known:
      raise ValueError(
        f"unknown preset {word!r}; known: {', '.join(sorted(known))}"
      )
    known[word](config)
  return config
