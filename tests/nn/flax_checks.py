"""Flax beside our converted layers, in a process of its own: jax starts threads, and other tests fork."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import torch
from flax import linen, nnx

import gatewright as gw

warnings.simplefilter("ignore")  # theirs
jax.config.update("jax_platforms", "cpu")
CELLS = {
    "LSTMCell": nnx.LSTMCell,
    "OptimizedLSTMCell": nnx.OptimizedLSTMCell,
    "GRUCell": nnx.GRUCell,
    "SimpleCell": nnx.SimpleCell,
    "SimpleCell_relu": lambda *a, **k: nnx.SimpleCell(*a, activation_fn=jax.nn.relu, **k),
}
LENGTHS = torch.tensor([7, 3, 5, 1])


def cell(name, features=3, hidden=5, seed=0):
    """With all weights drawn anew: the biases too, which Flax begins at 0."""
    made = CELLS[name](features, hidden, rngs=nnx.Rngs(seed))
    draw = np.random.default_rng(seed)
    state = nnx.state(made, nnx.Param)
    nnx.update(made, jax.tree.map(lambda a: jnp.asarray(draw.normal(size=a.shape, scale=0.4), a.dtype), state))
    return made


def inputs(time_major=False):
    torch.manual_seed(0)
    x = torch.randn(4, 7, 3)
    return x.transpose(0, 1).contiguous() if time_major else x


def close(found, expected):
    np.testing.assert_allclose(found.detach().numpy(), np.asarray(expected), rtol=1e-5, atol=1e-5)


def weights(module):
    return jax.tree.leaves(nnx.state(module, nnx.Param))


def from_one_direction(name, time_major, backend):
    theirs = nnx.RNN(cell(name), time_major=time_major)
    ours = gw.convert.from_flax(theirs)
    ours.backend = backend
    assert ours.batch_first is not time_major
    x = inputs(time_major)
    carry, y = theirs(jnp.asarray(x.numpy()), return_carry=True)
    found, final = ours(x)
    close(found, y)
    carry = carry[::-1] if isinstance(carry, tuple) else (carry,)  # Flax's is (c, h)
    for state, last in zip(final if isinstance(final, tuple) else (final,), carry, strict=True):
        close(state[0], last)
    close(found, gw.convert.to_flax(ours)(jnp.asarray(x.numpy())))
    close(gw.convert.from_flax(theirs.cell)(inputs())[0], nnx.RNN(theirs.cell)(jnp.asarray(inputs().numpy())))


def from_lengths(name, directions):
    forward = nnx.RNN(cell(name))
    theirs = forward if directions == 1 else nnx.Bidirectional(forward, nnx.RNN(cell(name, seed=1)))
    x, mask = inputs(), gw.sequences.mask(LENGTHS, 7, batch_first=True)
    y = theirs(jnp.asarray(x.numpy()), seq_lengths=jnp.asarray(LENGTHS.numpy()))
    ours = gw.convert.from_flax(theirs)
    found, _ = ours(x, lengths=LENGTHS)
    close(found[mask], np.asarray(y)[mask.numpy()])
    again = gw.convert.to_flax(ours)(jnp.asarray(x.numpy()), seq_lengths=jnp.asarray(LENGTHS.numpy()))
    close(found[mask], np.asarray(again)[mask.numpy()])


def from_reverse(name):
    theirs = nnx.RNN(cell(name), reverse=True, keep_order=True)
    ours, x = gw.convert.from_flax(theirs), inputs()
    mask = gw.sequences.mask(LENGTHS, 7, batch_first=True)
    close(ours(x)[0], theirs(jnp.asarray(x.numpy())))
    y = theirs(jnp.asarray(x.numpy()), seq_lengths=jnp.asarray(LENGTHS.numpy()))
    close(ours(x, lengths=LENGTHS)[0][mask], np.asarray(y)[mask.numpy()])
    close(ours(x)[0], gw.convert.to_flax(ours)(jnp.asarray(x.numpy())))


def from_stack(name):
    theirs = nnx.Sequential(
        nnx.Bidirectional(nnx.RNN(cell(name)), nnx.RNN(cell(name, seed=1))),
        nnx.Bidirectional(nnx.RNN(cell(name, 10, seed=2)), nnx.RNN(cell(name, 10, seed=3))),
    )
    ours = gw.convert.from_flax(theirs)
    assert ours.num_layers == 2 and ours.bidirectional
    x = jnp.asarray(inputs().numpy())
    close(ours(inputs())[0], theirs(x))
    close(ours(inputs())[0], gw.convert.to_flax(ours)(x))


def from_params(name):
    """Linen's parameters, and NNX's as a plain dictionary."""
    theirs = getattr(linen, name)(5)
    x = inputs()
    carry = theirs.initialize_carry(jax.random.key(0), (4, 3))
    params = theirs.init(jax.random.key(1), carry, jnp.asarray(x[:, 0].numpy()))
    draw = np.random.default_rng(0)
    params = jax.tree.map(lambda a: jnp.asarray(draw.normal(size=a.shape, scale=0.4), a.dtype), params)
    found, _ = gw.convert.from_flax(params)(x)
    for t in range(7):
        carry, y = theirs.apply(params, carry, jnp.asarray(x[:, t].numpy()))
        close(found[:, t], y)
    module = cell(name)
    plain = nnx.to_pure_dict(nnx.state(module, nnx.Param))
    close(gw.convert.from_flax(plain)(x)[0], nnx.RNN(module)(jnp.asarray(x.numpy())))


def to_flax(kind, bias):
    ours = gw.Recurrent(kind, 3, 5, bias=bias)
    with torch.no_grad():
        for p in ours.parameters():
            p.normal_(0, 0.4)
        if kind == "gru" and bias:
            ours.weights()["b_n_h"].zero_()
    x = inputs(time_major=True)
    close(ours(x)[0], gw.convert.to_flax(ours)(jnp.asarray(x.numpy())))


def bfloat16():
    ours = drawn_gru()
    theirs = gw.convert.to_flax(ours)
    assert theirs.cell.dense_h.kernel.dtype == jnp.bfloat16
    back = gw.convert.from_flax(theirs)
    assert back.weight_hh_l0.dtype == torch.bfloat16
    assert torch.equal(back.weight_hh_l0, ours.weight_hh_l0)


def drawn_gru():
    ours = gw.GRU(3, 5, dtype=torch.bfloat16)
    with torch.no_grad():
        ours.weights()["b_n_h"].zero_()
    return ours


def message_of(mistake):
    try:
        MISTAKES[mistake]()
    except (TypeError, ValueError) as error:
        return type(error).__name__, str(error)
    return "", ""


def _of(make):
    return lambda: gw.convert.from_flax(make())


def _params(**changes):
    return {
        "dense_i": {"kernel": np.zeros((3, 20)), "bias": None},
        "dense_h": {"kernel": np.zeros((5, 20)), "bias": np.zeros(20)},
    } | changes


MISTAKES = {
    "hard_sigmoid": _of(lambda: nnx.LSTMCell(3, 5, gate_fn=jax.nn.hard_sigmoid, rngs=nnx.Rngs(0))),
    "elu": _of(lambda: nnx.RNN(nnx.GRUCell(3, 5, activation_fn=nnx.elu, rngs=nnx.Rngs(0)))),
    "residual": _of(lambda: nnx.SimpleCell(3, 5, residual=True, rngs=nnx.Rngs(0))),
    "order": _of(lambda: nnx.RNN(cell("GRUCell"), reverse=True)),
    "merge_fn": _of(
        lambda: nnx.Bidirectional(
            nnx.RNN(cell("GRUCell")), nnx.RNN(cell("GRUCell", seed=1)), merge_fn=lambda a, b: a + b
        )
    ),
    "unlike": _of(lambda: [cell("GRUCell"), cell("LSTMCell", 5)]),
    "linear": _of(lambda: nnx.Linear(3, 5, rngs=nnx.Rngs(0))),
    "unknown": _of(lambda: {"weight": np.zeros((3, 5))}),
    "misshapen": _of(lambda: _params(dense_i={"kernel": np.zeros((3, 18)), "bias": np.zeros(7)})),
    "rows": _of(lambda: _params(dense_h={"kernel": np.zeros((5, 21))})),
    "b_n_h": lambda: gw.convert.to_flax(gw.GRU(3, 5)),
    "before": lambda: gw.convert.to_flax(gw.Recurrent("gru_original", 3, 5)),
    "float64": lambda: gw.convert.to_flax(gw.LSTM(3, 5, dtype=torch.float64)),
}
