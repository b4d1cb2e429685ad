"""A character model of the Python documentation that comes with Python: learns from 16 characters to guess the next.

Run it with `python -m graphc.examples.char_model`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pydoc_data.topics import topics
from typing import Any

import numpy as np

import graphc as gx
from graphc import nn, optim

Array = np.ndarray[Any, Any]
CONTEXT, BATCH, STEPS = 16, 128, 3000


@dataclass(frozen=True)
class Text:
    """A text as int32 codes into its alphabet."""

    codes: Array
    alphabet: str

    def decode(self, codes: Any) -> str:
        return "".join(self.alphabet[code] for code in codes)


def load_text() -> Text:
    """All topics of Python's help, in ASCII, one after the other."""
    text = "".join(topics[name] for name in sorted(topics)).encode("ascii", "ignore").decode()
    alphabet = "".join(sorted(set(text)))
    index = {character: code for code, character in enumerate(alphabet)}
    return Text(np.fromiter((index[character] for character in text), np.int32, len(text)), alphabet)


def build(characters: int, seed: int = 0) -> nn.Module:
    """Each character of the context as 24 numbers, all of them into a hidden layer, and out to the next character."""
    rng = np.random.default_rng(seed)
    return nn.Sequential(
        nn.Embedding(characters, 24, rng=rng),
        nn.Flatten(),
        nn.Linear(CONTEXT * 24, 256, rng=rng),
        nn.GELU(),
        nn.Linear(256, characters, rng=rng),
    )


def train(model: nn.Module, text: Text, steps: int = STEPS, seed: int = 0, **options: Any) -> list[float]:
    """Train on random places of the text; the loss of each step, in nats per character."""
    context, following = gx.input("context", (BATCH, CONTEXT), "int32"), gx.input("following", (BATCH,), "int32")
    loss = nn.cross_entropy(model.train()(context), following)
    rate = optim.schedules.warmup(optim.schedules.cosine(2e-3, steps), max(1, steps // 20))
    updates = optim.AdamW(lr=rate, clip_norm=1.0).minimize(loss, model.parameters())
    step = gx.compile(inputs=[context, following], outputs=loss, updates=updates, **options)
    rng, losses = np.random.default_rng(seed), []
    for _ in range(steps):
        windows = text.codes[rng.integers(0, len(text.codes) - CONTEXT, BATCH)[:, None] + np.arange(CONTEXT + 1)]
        losses.append(float(step(windows[:, :-1], windows[:, -1])))
    return losses


def sample(
    model: nn.Module, text: Text, length: int = 300, temperature: float = 0.7, seed: int = 0, **options: Any
) -> str:
    """`length` characters, each drawn from the model's distribution given those before it."""
    context = gx.input("context", (1, CONTEXT), "int32")
    probabilities = gx.softmax(model.eval()(context)[0] / temperature)
    predict = gx.compile(inputs=[context], outputs=probabilities, **options)
    rng, codes = np.random.default_rng(seed), list(text.codes[:CONTEXT])
    for _ in range(length):
        chances = predict(np.asarray([codes[-CONTEXT:]], np.int32)).astype(np.float64)
        codes.append(int(rng.choice(len(chances), p=chances / chances.sum())))
    return text.decode(codes[CONTEXT:])


def main(steps: int = STEPS) -> None:
    text = load_text()
    model = build(len(text.alphabet))
    losses = train(model, text, steps)
    print(f"loss {losses[0]:.3f} → {np.mean(losses[-100:]):.3f} nats per character\n")
    print(sample(model, text))


if __name__ == "__main__":
    main()
