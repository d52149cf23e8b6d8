"""Modules of torch, and ours that are no recurrences, as nodes: one row a module. All of them as in evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..nn.dropout import EmbeddingDropout, LockedDropout
from .builder import Body, Value

Row = Callable[[Body, Any, str, Value], Value]


def linear(body: Body, weight: str, bias: str | None, x: Value, width: int, name: str) -> Value:
    """x Wᵀ + b; weight is (in, out)."""
    y = body.node("MatMul", x.name, weight, name=name)
    return Value(body.node("Add", y, bias, name=name) if bias else y, x.rank, width)


def softmax(op: str, body: Body, x: Value, dim: int | None, name: str) -> Value:
    """A softmax, or its logarithm, over a dimension that is given."""
    if dim is None:
        raise ValueError(f"{name}: expected a dim, got None; torch's own choice of one is deprecated")
    return x._replace(name=body.node(op, x.name, name=name, axis=dim))


def _linear(body: Body, module: nn.Linear, path: str, x: Value) -> Value:
    weight = body.weight(module.weight.T, f"{path}.weight")
    bias = body.weight(module.bias, f"{path}.bias") if module.bias is not None else None
    return linear(body, weight, bias, x, module.out_features, path)


def _embedding(body: Body, module: nn.Embedding | EmbeddingDropout, path: str, x: Value) -> Value:
    if module.max_norm is not None:
        raise ValueError(
            f"{path}: expected an Embedding without max_norm, got {module.max_norm}; it changes its weight"
        )
    weight = body.weight(module.weight, f"{path}.weight")
    return Value(body.node("Gather", weight, x.name, name=path, axis=0), x.rank + 1, module.embedding_dim)


def _layer_norm(body: Body, module: nn.LayerNorm, path: str, x: Value) -> Value:
    shape = tuple(module.normalized_shape)
    weight = torch.ones(shape) if module.weight is None else module.weight
    inputs = [x.name, body.weight(weight.to(body.shared.dtype), f"{path}.weight")]
    inputs += [] if module.bias is None else [body.weight(module.bias, f"{path}.bias")]
    return x._replace(
        name=body.node(
            "LayerNormalization", *inputs, name=path, axis=-len(shape), epsilon=module.eps, stash_type=body.shared.dtype
        )
    )


def _rms_norm(body: Body, module: nn.RMSNorm, path: str, x: Value) -> Value:
    """x / √(mean(x²) + eps) ⊙ weight."""
    axes = body.whole(*range(-len(module.normalized_shape), 0))
    eps = torch.finfo(body.shared.dtype).eps if module.eps is None else module.eps
    square = body.node("ReduceMean", body.node("Mul", x.name, x.name), axes, keepdims=1)
    y = body.node("Div", x.name, body.node("Sqrt", body.node("Add", square, body.number(eps))), name=path)
    if module.weight is not None:
        y = body.node("Mul", y, body.weight(module.weight, f"{path}.weight"), name=path)
    return x._replace(name=y)


def _same(_body: Body, _module: nn.Module, _path: str, x: Value) -> Value:
    return x


def plain(op: str) -> Row:
    """A module that is one node."""
    return lambda body, _module, path, x: x._replace(name=body.node(op, x.name, name=path))


def _in_two_halves(body: Body, x: Value, path: str, below: Callable[[str], str]) -> Value:
    """max(x, 0) + below(min(x, 0)); ONNX Runtime has LeakyRelu and Elu in float32 alone."""
    zero = body.number(0.0)
    above = body.node("Max", x.name, zero)
    return x._replace(name=body.node("Add", above, below(body.node("Min", x.name, zero)), name=path))


def _leaky_relu(body: Body, module: nn.LeakyReLU, path: str, x: Value) -> Value:
    slope = body.number(module.negative_slope)
    return _in_two_halves(body, x, path, lambda low: body.node("Mul", low, slope))


def _elu(body: Body, module: nn.ELU, path: str, x: Value) -> Value:
    """α (e^x − 1) below 0."""
    one, alpha = body.number(1.0), body.number(module.alpha)
    return _in_two_halves(
        body, x, path, lambda low: body.node("Mul", body.node("Sub", body.node("Exp", low), one), alpha)
    )


def gelu(body: Body, x: Value, approximate: str, name: str) -> Value:
    """x Φ(x), or its approximation by a tanh. (ONNX Runtime has no Erf in float64.)"""
    number, cubed = body.number, body.node("Mul", body.node("Mul", x.name, x.name), x.name)
    if approximate == "tanh":
        inner = body.node("Add", x.name, body.node("Mul", cubed, number(0.044715)))
        part = body.node("Tanh", body.node("Mul", inner, number((2 / torch.pi) ** 0.5)))
    else:
        part = body.node("Erf", body.node("Mul", x.name, number(0.5**0.5)))
    whole = body.node("Mul", x.name, body.node("Add", part, number(1.0)))
    return x._replace(name=body.node("Mul", whole, number(0.5), name=name))


def silu(body: Body, x: Value, name: str) -> Value:
    return x._replace(name=body.node("Mul", x.name, body.node("Sigmoid", x.name), name=name))


def _softplus(body: Body, module: nn.Softplus, path: str, x: Value) -> Value:
    """log(1 + e^(βx)) / β; torch's threshold only says from where on that is x to the last bit."""
    if module.beta == 1:
        return x._replace(name=body.node("Softplus", x.name, name=path))
    beta = body.number(module.beta)
    return x._replace(name=body.node("Div", body.node("Softplus", body.node("Mul", x.name, beta)), beta, name=path))


def _hardtanh(body: Body, module: nn.Hardtanh, path: str, x: Value) -> Value:
    bounds = body.number(module.min_val), body.number(module.max_val)
    return x._replace(name=body.node("Clip", x.name, *bounds, name=path))


MODULES: Mapping[type[nn.Module], Row] = {
    nn.Linear: _linear,
    nn.Embedding: _embedding,
    EmbeddingDropout: _embedding,
    nn.LayerNorm: _layer_norm,
    nn.RMSNorm: _rms_norm,
    nn.Identity: _same,
    nn.Dropout: _same,
    LockedDropout: _same,
    nn.Tanh: plain("Tanh"),
    nn.Sigmoid: plain("Sigmoid"),
    nn.ReLU: plain("Relu"),
    nn.ReLU6: _hardtanh,
    nn.Hardtanh: _hardtanh,
    nn.LeakyReLU: _leaky_relu,
    nn.ELU: _elu,
    nn.Softplus: _softplus,
    nn.Softsign: plain("Softsign"),
    nn.GELU: lambda body, m, path, x: gelu(body, x, m.approximate, path),
    nn.SiLU: lambda body, _m, path, x: silu(body, x, path),
    nn.Softmax: lambda body, m, path, x: softmax("Softmax", body, x, m.dim, path),
    nn.LogSoftmax: lambda body, m, path, x: softmax("LogSoftmax", body, x, m.dim, path),
}
"""By their very type: a subclass may do something else."""


def features_of(module: nn.Module) -> int | None:
    """How many features a module of the table expects last; None where any number will do."""
    if isinstance(module, nn.Linear):
        return module.in_features
    if isinstance(module, nn.LayerNorm | nn.RMSNorm):
        return int(module.normalized_shape[-1])
    return None


def takes_numbers(module: nn.Module) -> bool:
    """Whether its input is whole numbers: the entries of an embedding."""
    return isinstance(module, nn.Embedding | EmbeddingDropout)
