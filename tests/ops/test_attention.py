"""scaled_dot_product_attention as a program: what it holds in memory, its dropout, heads without copies."""

import math

import numpy as np
import pytest

import graphc as gx
from tests.ops.test_backends import COMPILED

TILES = "cython"


def composition(q, k, v, causal):
    """The same from primitives, with all weights."""
    scores = (q @ k.mT) * (1.0 / math.sqrt(q.shape[-1]))
    if causal:
        scores = gx.where(np.tri(q.shape[-2], k.shape[-2]) > 0, scores, -math.inf)
    return gx.softmax(scores, axis=-1) @ v


def heads_of(x, heads):
    """x[batch, steps, 3 size] as q, k and v: [batch, heads, steps, size / heads]."""
    batch, steps, width = x.shape
    shape = (batch, steps, heads, width // 3 // heads)
    return [part.reshape(*shape).transpose(0, 2, 1, 3) for part in gx.split(x, 3, axis=2)]


def block(x, heads, attend):
    y = attend(*heads_of(x, heads))
    return y.transpose(0, 2, 1, 3).reshape(x.shape[0], x.shape[1], x.shape[2] // 3)


def attend_causally(q, k, v):
    return gx.scaled_dot_product_attention(q, k, v, is_causal=True)


def attention_step(shape, heads, attend):
    x, g = gx.input("x", shape), gx.input("g", (*shape[:2], shape[2] // 3))
    y = block(x, heads, attend)
    return gx.compile([x, g], [y, *gx.vjp([y], [x], [g])], backend=TILES)


def test_agrees_with_the_composition():
    rng, shape = np.random.default_rng(0), (2, 150, 3 * 48)
    x, g = rng.standard_normal(shape, np.float32), rng.standard_normal((2, 150, 48), np.float32)
    got = attention_step(shape, 3, attend_causally)(x, g)
    want = attention_step(shape, 3, lambda q, k, v: composition(q, k, v, True))(x, g)
    for a, b in zip(got, want, strict=True):
        assert np.abs(a - b).max() <= 1e-5 * np.abs(b).max()


def test_no_matrix_of_weights_is_held_and_heads_are_read_where_they_lie():
    steps, size = 512, 64
    plan = attention_step((1, steps, 3 * size), 2, attend_causally).plan
    assert max(buffer.nbytes for buffer in plan.buffers) < 4 * 2 * steps * steps
    (forward,) = (launch for launch in plan.launches if launch.kernel == "attention_f32")
    assert forward.reads == (0,)  # the input, through strides


def test_threads_do_not_change_a_bit():
    rng, shape = np.random.default_rng(1), (2, 300, 3 * 32)
    x, g = gx.input("x", shape), gx.input("g", (2, 300, 32))
    y = block(x, 2, attend_causally)
    results = [y, *gx.vjp([y], [x], [g])]
    arrays = rng.standard_normal(shape, np.float32), rng.standard_normal((2, 300, 32), np.float32)
    one, two = (gx.compile([x, g], results, backend=TILES, threads=threads)(*arrays) for threads in (1, 2))
    assert [a.tobytes() for a in one] == [a.tobytes() for a in two]


def test_a_query_that_sees_nothing_has_zeros():
    x = gx.input("x", (4, 3))
    mask = np.array([[True] * 4, [False] * 4, [True] * 4, [False] * 4])
    for attn_mask in (mask, np.where(mask, 0.0, -np.inf).astype(np.float32)):
        y = gx.scaled_dot_product_attention(x, x, x, attn_mask)
        program = gx.compile([x], [y, gx.grad(y.sum(), x)], backend=TILES)
        out, slope = program(np.random.default_rng(2).standard_normal((4, 3), np.float32))
        assert (out[1::2] == 0).all()
        assert (out[::2] != 0).all()
        assert np.isfinite(slope).all()


def test_dropout_drops_weights_and_keeps_their_mean():
    x, v = np.zeros((1, 64, 4), np.float32), np.ones((1, 256, 4), np.float32)
    y = gx.scaled_dot_product_attention(
        gx.constant(x), gx.constant(np.zeros((1, 256, 4), np.float32)), v, dropout_p=0.25
    )
    (out,) = gx.evaluate([y], {}, seed=3)
    assert abs(out.mean() - 1.0) < 0.01
    assert out.std() > 0.01
    # every weight is 1/256 or gone: outputs are multiples of 1 / (256 * 0.75)
    np.testing.assert_allclose(out * 192, np.round(out * 192), atol=1e-3)


def test_dropout_has_gradients_and_hides_what_is_masked():
    q = gx.input("q", (2, 5, 4), "float64")
    y = gx.scaled_dot_product_attention(q, q, q, dropout_p=0.5, is_causal=True)
    values = np.random.default_rng(4).standard_normal((2, 5, 4))
    (slope,) = gx.evaluate([gx.grad(y[:, 0].sum(), q)], {q: values})
    assert (slope[:, 1:] == 0).all()


@pytest.mark.parametrize("shape", [(2, 6, 8), (2, 3, 6, 8)])
def test_forward_over_reverse(shape):
    """A Hessian-vector product is the derivative of the gradient along the vector."""
    x = gx.input("x", shape, "float64")
    loss = (gx.scaled_dot_product_attention(x, gx.sin(x), x * x, is_causal=True) ** 2).sum()
    rng = np.random.default_rng(5)
    at, along = rng.standard_normal(shape), rng.standard_normal(shape)
    (product,) = gx.compile([x], gx.hvp(loss, [x], [along]), backend=TILES)(at)
    slope = gx.compile([x], gx.grad(loss, x), backend=TILES)
    step = 1e-5
    np.testing.assert_allclose(
        product, (slope(at + step * along) - slope(at - step * along)) / (2 * step), rtol=1e-6, atol=1e-7
    )


# Large scores -----------------------------------------------------------------------------------------------------
def steep_arrays(dtype, height):
    """q, k, v, a mask, g and directions: integers, so that scores are exact but for the mask, added last.

    Two queries are masked wholly by `height`, one half; one sees a score of `height` more than others.
    """
    rng = np.random.default_rng(9)
    q, k, v, g, *along = (rng.integers(-2, 3, shape).astype(dtype) for shape in [(4, 3), (5, 3), (5, 2), (4, 2)] * 2)
    mask = np.zeros((4, 5), dtype)
    mask[:2] = mask[2, ::2] = height
    mask[3, 1] = -height if np.isfinite(height) else 0
    return [q, k, v, mask, g], along[:3]


def steep_results(inputs, along, attend):
    """Values, gradients, the tangent along `along`, and the gradient of the gradient along it."""
    *variables, mask, g = inputs
    y = attend(*variables, mask)
    first = gx.vjp([y], variables, [g])
    return [y, *first, *gx.jvp([y], variables, along), *gx.vjp(first, variables, along)]


def whole(q, k, v, mask):
    """The formula, with all weights; no weights where nothing is seen."""
    scores = q @ k.T + mask
    top = gx.stop_gradient(scores.max(-1, keepdims=True))
    powers = gx.exp(scores - gx.where(gx.isinf(top), 0.0, top))
    total = powers.sum(-1, keepdims=True)
    return (powers / gx.where(total == 0, 1.0, total)) @ v


HEIGHTS = [
    ("float32", -1e3), ("float32", -1e5), ("float32", -1e9), ("float32", float(np.finfo("float32").min)),
    ("float32", -math.inf), ("float64", -1e9), ("float64", -1e20), ("float64", float(np.finfo("float64").min)),
    ("float16", -65504.0), ("bfloat16", -1e9),
]  # fmt: skip


@pytest.mark.parametrize("backend", COMPILED)
def test_large_scores_leave_exact_weights(backend):
    """What models hide keys with: a score's size must not cost the weights their digits, to the second derivative."""
    inputs, results, arrays, wanted = [], [], [], []
    for dtype, height in HEIGHTS:
        values, along = steep_arrays(gx.zeros((), dtype).dtype.numpy, height)
        real = "float64" if dtype == "float64" else "float32"
        oracle = [gx.constant(value.astype(real)) for value in values]
        wanted += gx.evaluate(steep_results(oracle, [a.astype(real) for a in along], whole), {})
        tensors = [gx.input(f"{dtype} {height} {i}", value.shape, dtype) for i, value in enumerate(values)]
        attend = lambda *qkvm: gx.scaled_dot_product_attention(*qkvm, scale=1.0)  # noqa: E731
        results += steep_results(tensors, along, attend)
        inputs, arrays = inputs + tensors, arrays + values
    got = gx.compile(inputs, results, backend=backend)(*arrays)
    for result, a, b in zip(results, got, wanted, strict=True):
        digits = {"float64": 1e-12, "float32": 2e-6, "float16": 2e-3, "bfloat16": 2e-2}[result.dtype.name]
        np.testing.assert_allclose(a.astype("float64"), b, rtol=0, atol=digits * max(1, np.abs(b).max()))


@pytest.mark.parametrize("backend", COMPILED)
def test_equal_scores_share_equally(backend):
    """One query masked wholly by -1e9 gives each of eight values an eighth."""
    q, k, v = gx.constant(np.zeros((1, 4))), gx.constant(np.zeros((8, 4))), gx.input("v", (8, 1))
    y = gx.scaled_dot_product_attention(q, k, v, np.full((1, 8), -1e9, np.float32))
    slope = gx.compile([v], gx.grad(y.sum(), v), backend=backend)(np.ones((8, 1), np.float32))
    np.testing.assert_array_equal(slope, np.full((8, 1), 0.125))
