"""The keys of single methods and of the flow, once, with their units."""

from ml_collections import ConfigDict


def flow() -> ConfigDict:
  """A coupling flow: `genlat.nets.coupling`."""
  return ConfigDict(
    dict(
      coupling="affine",  # affine | additive | spline
      blocks=4,  # two-sided couplings, each with a permutation
      hidden=64,  # units of a subnet's layers
      batch_norm=False,  # in the subnets; True in the official code
      bn_momentum=0.9,  # share of the running average kept
      clamp=2.0,  # bound of a log-scale, about (affine)
      bins=8,  # of a spline
      bound=5.0,  # splines are the identity beyond it
    )
  )


def vae() -> ConfigDict:
  """Method vae."""
  return ConfigDict(
    dict(
      prior="gaussian",  # gaussian | flow
      posterior="gaussian",  # gaussian | flow
      reconstruction=1.0,  # weight of the reconstruction term
      beta=1.0,  # weight of the KL
      samples=1,  # importance samples; above 1 the objective is IWAE's
    )
  )


def glf() -> ConfigDict:
  """Method glf."""
  return ConfigDict(
    dict(
      stop_gradient=True,  # False = regularised GLF
      beta=1.0,  # weight of the reconstruction
      code_noise=0.0,  # std of noise on codes that the flow sees
    )
  )


def introspection() -> ConfigDict:
  """What introvae and soft_introvae share."""
  return ConfigDict(
    dict(
      pretrain=0.0,  # epochs of a plain VAE before the game
      statistics="real",  # passes that move BatchNorm's averages: real | all
    )
  )


def introvae() -> ConfigDict:
  """Method introvae."""
  return ConfigDict(
    dict(
      regulariser="kl",  # kl | age (of the batch's statistics)
      hinge="per_sample",  # per_sample | batch_mean
      margin=110.0,  # m, nats
      alpha_encoder=0.25,  # weight of each hinge
      alpha_decoder=0.25,  # weight of each KL of made images
      beta=0.5,  # weight of the reconstruction
      half=True,  # half the squared error (paper), or all of it (code)
      plain_pretrain=False,  # pretraining ignores beta and half (code)
    )
  )


def soft_introvae() -> ConfigDict:
  """Method soft_introvae."""
  return ConfigDict(
    dict(
      beta_reconstruction=1.0,  # b_r
      beta_kl=1.0,  # b_k, of real images
      beta_fake=256.0,  # b_n, of made images in the encoder's turn
      gamma=1e-8,  # g, of the decoder's reconstructions of made images
      detach_target=False,  # whether their targets are constants
      bootstrap=0.0,  # epochs between copies of the target decoder; 0 = off
    )
  )


def aae() -> ConfigDict:
  """Method aae."""
  return ConfigDict(
    dict(
      condition="none",  # none | supervised | unsupervised | text
      classes=10,  # labels, where there is a condition
      learned_prior=True,  # switch A
      perceptual=True,  # switch B: features of D_I measure reconstructions
      decoder_in_both=True,  # switch C: the prior phase moves the decoder, too
      prior="gaussian",  # of codes, not learned: gaussian | ring | swiss_roll
      noise=0,  # dimensions beside a label; 0 = latent less the labels
      scale=1.0,  # std of the noise
      posterior="deterministic",  # deterministic | gaussian
      code_loss="non_saturating",  # genlat.losses.adversarial.KINDS
      image_loss="non_saturating",
      penalty=10.0,  # weight of the gradient penalty (wasserstein)
      real_penalty=0.0,  # gamma, D_I's slope at real images (R1); any loss
      information=1.0,  # weight of the mutual information
      real_labels=0.0,  # weight of Q's error on labels of the data (supervised)
      read_noise=0,  # dimensions of the noise that Q reads in made images, too
      informs_trunk=True,  # it also moves what Q shares with D_I
      reconstruction=1.0,  # lambda, of the decoder
      encoder_reconstruction=1.0,  # w, likewise of the encoder
      reduction="mean",  # over features or pixels: mean | sum, as printed
      fools_by_copies=True,  # reconstructions have to fool D_I, too
      coverage=0.0,  # weight of images' codes that the learned prior leaves out
      coverage_draws=16,  # of the prior, beside each image's code
      simultaneous=False,  # turns of a phase start from the same weights
      stem_stride=2,  # of the encoder
      image_channels=(64, 128, 256),  # of D_I; side / 2^L is F's
      image_normalisation="",  # of D_I: batch | group | none; '' = the model's
      trunk=1000,  # units of D_I's linear layer
      code_hidden=(1000, 500, 200),  # units of D_C
      text_hidden=256,  # units a caption has in D_I (text)
      code_captions=True,  # D_C is told captions, too (text)
      mismatch=0.0,  # weight of real images with others' captions (text)
      wrong_captions=1,  # how many of these an image has (text)
      likest_captions=True,  # the most similar of the batch, or any (text)
    )
  )


def text() -> ConfigDict:
  """Captions and what is known of them: `genlat.texts`."""
  return ConfigDict(
    dict(
      encoder="",  # captions.npz of another run; '' = trained at the start
      vectors="",  # npz of vectors made elsewhere, in place of an encoder
      size=200,  # dimensions of a caption's vector
      steps=3000,  # of the encoder's training
      batch_size=64,  # images, each with one of its captions
      lr=1e-3,
      margin=0.2,  # of cosines
      forget=0.25,  # words made unknown, and put between, in training
    )
  )


def draw() -> ConfigDict:
  """Methods draw, conv_draw (channels, too), conv_draw_b, glimpse_classifier.

  conv_draw_b has steps, hidden and the weights of the KL alone; the classifier
  has no codes and paints nothing.
  """
  return ConfigDict(
    dict(
      steps=10,  # T
      hidden=256,  # units of each LSTM
      read=5,  # filters along an edge of the window; 0 = the whole image
      write=5,  # likewise
      error_image=True,  # x - sigmoid(canvas) is read beside x
      learned_start=True,  # states and canvas start from biases, not zeros
      learned_cell=False,  # cells, too
      kl_weight=1.0,
      kl_weights=(),  # one a step; () = ones
      unroll=1,  # steps of the scan that are unrolled
      channels=(32, 64),  # of the convolutions (conv_draw)
      classes=10,  # labels (glimpse_classifier)
    )
  )
