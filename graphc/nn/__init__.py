"""Layers, losses and initial values, written in tensors alone; names, arguments and defaults are PyTorch's."""

from graphc.nn import init
from graphc.nn.activation import (
    ELU,
    GELU,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)
from graphc.nn.convolution import AvgPool2d, Conv1d, Conv2d, ConvTranspose2d, MaxPool2d
from graphc.nn.init import seed
from graphc.nn.linear import Dropout, Embedding, Flatten, Linear
from graphc.nn.losses import (
    bce_loss,
    bce_with_logits_loss,
    cross_entropy,
    huber_loss,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from graphc.nn.module import Module, ModuleList, Residual, Sequential
from graphc.nn.normalization import BatchNorm1d, BatchNorm2d, GroupNorm, LayerNorm, RMSNorm

__all__ = [
    "ELU", "GELU", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Conv1d", "Conv2d", "ConvTranspose2d", "Dropout",
    "Embedding", "Flatten", "GroupNorm", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MaxPool2d", "Module",
    "ModuleList", "RMSNorm", "ReLU", "Residual", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus", "Tanh",
    "bce_loss", "bce_with_logits_loss", "cross_entropy", "huber_loss", "init", "l1_loss", "mse_loss", "nll_loss",
    "seed", "smooth_l1_loss",
]  # fmt: skip
