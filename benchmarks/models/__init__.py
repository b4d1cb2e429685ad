"""Models written in graphc: those of the scoreboard's workloads, and large ones whose memory is planned.

`resnet`, `mobilenet`, `vgg`, `gpt` and `residual` each have a `build(...)`, which answers with (inputs, outputs,
updates) of a training step, as `gx.compile` and the command line take them:
`graphc memory benchmarks.models.resnet:build`.
"""

from benchmarks.models.scoreboard import GPT, BasicBlock, Encoder, Recurrent, cnn, gelumlp, mlp, tanh_mlp, tiny

__all__ = ["GPT", "BasicBlock", "Encoder", "Recurrent", "cnn", "gelumlp", "mlp", "tanh_mlp", "tiny"]
