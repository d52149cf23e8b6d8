"""Functions of vectors: exp, log, sigmoid, tanh, softplus and the arithmetic of a cell, lane by lane.

Each is right to 4 units in the last place over the normal range, with and without fused multiply-adds. NaN passes
through everything. What would be denormal comes out as something between it and 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .emitter import Emitter, Value


@dataclass(frozen=True)
class Format:
    """The numbers that differ between the two reals."""

    fraction: int  # bits of a significand behind the point
    bias: int  # of the exponent
    magic: float  # 1.5 · 2^fraction: adding it rounds to a whole number, found in the lowest bits of the sum
    ln2: tuple[float, float]  # in two parts; the first has few bits, so that its product with an exponent is exact
    growth: tuple[float, ...]  # P in e^r = 1 + r + r²·P(r) for |r| ≤ ½ ln 2: minimax, relative to e^r − 1
    logarithm: tuple[float, ...]  # R in log((1+s)/(1−s)) = 2s + s·z·R(z), z = s², for z ≤ 0.0295
    half_line: tuple[float, ...]  # the same for z ≤ 1/9: minimax
    exp_range: tuple[float, float]  # the smallest argument whose exp is normal, the largest whose exp is finite
    sigmoid_range: tuple[float, float]  # below it is 0, or denormal; above it is 1
    tanh_range: float  # beyond it is ±1
    sqrt_half: int  # √½ as bits
    smallest: float  # normal number


FLOAT = Format(
    fraction=23,
    bias=127,
    magic=12582912.0,
    ln2=(0.693145751953125, 1.4286068203e-6),
    growth=(0.4999999813, 0.1666654269, 0.0416672038, 0.008366646724, 0.001388250551),
    logarithm=(0.66666662693, 0.40000972152, 0.28498786688, 0.24279078841),
    half_line=(0.666666755, 0.3999888824, 0.2861659971, 0.2143071091, 0.242896632),
    exp_range=(-87.33654022216797, 88.72283172607422),
    sigmoid_range=(-89.0, 25.0),
    tanh_range=10.0,
    sqrt_half=0x3F3504F3,
    smallest=2.0**-126,
)
DOUBLE = Format(
    fraction=52,
    bias=1023,
    magic=6755399441055744.0,
    ln2=(6.93147180369123816490e-01, 1.90821492927058770002e-10),
    growth=(
        0.5000000000000005276,
        0.1666666666666658765,
        0.04166666666657540815,
        0.008333333333390553178,
        0.001388888893204489618,
        0.0001984126971720470543,
        0.00002480150465843520271,
        2.755740865284286325e-6,
        2.762629570181485101e-7,
        2.505362193753500349e-8,
    ),
    logarithm=(
        6.666666666666735130e-01,
        3.999999999940941908e-01,
        2.857142874366239149e-01,
        2.222219843214978396e-01,
        1.818357216161805012e-01,
        1.531383769920937332e-01,
        1.479819860511658591e-01,
    ),
    half_line=(
        0.6666666666666667813,
        0.3999999999999406089,
        0.2857142857249740699,
        0.2222222212641820746,
        0.1818182316204638491,
        0.1538445302222889632,
        0.1333678724220246949,
        0.1171615338008377933,
        0.1097119630697779155,
        0.06999475101256407484,
        0.1645903236541211663,
    ),
    exp_range=(-708.3964185322641, 709.782712893384),
    sigmoid_range=(-710.0, 45.0),
    tanh_range=20.0,
    sqrt_half=0x3FE6A09E667F3BCD,
    smallest=2.0**-1022,
)
FORMATS = {"float": FLOAT, "double": DOUBLE}


def _format(e: Emitter) -> Format:
    return FORMATS[e.module.real]


def _clamp(e: Emitter, x: Value, low: float, high: float) -> Value:
    """x within two bounds. The bound is on the side that a comparison with NaN does not take."""
    for op, bound in ((">", e.real(high)), ("<", e.real(low))):
        x = e.b.select(e.b.fcmp_ordered(op, x, bound), bound, x)
    return x


def _polynomial(e: Emitter, x: Value, square: Value, coefficients: Sequence[float]) -> Value:
    """Σ cₖ xᵏ, lowest power first: pairs by x, then Horner's rule in x², which halves the chain of dependent steps."""
    pairs = [coefficients[k : k + 2] for k in range(0, len(coefficients), 2)]
    terms = [e.fma(x, e.real(pair[1]), e.real(pair[0])) if len(pair) == 2 else e.real(pair[0]) for pair in pairs]
    total = terms.pop()
    while terms:
        total = e.fma(total, square, terms.pop())
    return total


def _growth(e: Emitter, x: Value, scale: int, ln2: Sequence[float], bias: int = 0) -> tuple[Value, Value]:
    """(t, p) with e^(scale·x) = 2ⁿ (1 + scale·p), where n + bias stands in the lowest bits of t.

    p is relatively accurate near 0 and has the sign of its zero: hence the negated n, and a scale within the constants.
    ln 2 is given in as many parts as it takes where |scale·x| is at its largest.
    """
    f = _format(e)
    magic = e.real(f.magic + bias)
    t = e.fma(x, e.real(scale / math.log(2)), magic)
    minus_n = e.b.fsub(magic, t)
    for part in ln2:
        x = e.fma(minus_n, e.real(part / scale), x)
    square = e.b.fmul(x, x)
    tail = _polynomial(e, x, square, [c * scale ** (k + 1) for k, c in enumerate(f.growth)])
    return t, e.fma(tail, square, x)


def _to_exponent(e: Emitter, t: Value) -> Value:
    """The lowest bits of t moved to where an exponent stands, as integers."""
    return e.b.shl(e.b.bitcast(t, e.VI), e.integer(_format(e).fraction))


def exp(e: Emitter, x: Value) -> Value:
    """e^x; 0 where that would be denormal. n is added to the exponent of 1 + p: it reaches both ends of the range."""
    f = _format(e)
    t, p = _growth(e, x, 1, f.ln2)
    bits = e.b.bitcast(e.b.fadd(p, e.real(1.0)), e.VI)
    inside = e.b.bitcast(e.b.add(bits, _to_exponent(e, t)), e.V)
    low, high = f.exp_range
    beyond = e.b.fadd(x, e.real(math.inf))  # infinite, or NaN
    found = e.b.select(e.b.fcmp_ordered("<=", x, e.real(high)), inside, beyond)
    return e.b.select(e.b.fcmp_ordered("<", x, e.real(low)), e.real(0.0), found)


def sigmoid(e: Emitter, x: Value) -> Value:
    """1 / (1 + e^−x): far left the power of two is infinite by itself, and so the quotient 0."""
    f = _format(e)
    t, p = _growth(e, _clamp(e, x, *f.sigmoid_range), -1, f.ln2, f.bias)
    power = e.b.bitcast(_to_exponent(e, t), e.V)
    one = e.real(1.0)
    return e.b.fdiv(one, e.fma(power, e.b.fsub(one, p), one))


def tanh(e: Emitter, x: Value) -> Value:
    """F / (1 − F) with F = (1 − e^−2x) / 2, which is x to first order and keeps the sign of zero.

    One part of ln 2 is enough: where n is large, what the exponential is wrong by changes nothing.
    """
    f = _format(e)
    t, p = _growth(e, _clamp(e, x, -f.tanh_range, f.tanh_range), -2, (math.log(2),), f.bias)
    power = e.b.bitcast(_to_exponent(e, t), e.V)
    half = e.fma(power, p, e.b.fneg(e.fma(power, e.real(0.5), e.real(-0.5))))
    return e.b.fdiv(half, e.b.fsub(e.real(1.0), half))


def log(e: Emitter, x: Value) -> Value:
    """The natural logarithm (FreeBSD's e_log.c): x = 2ᵏ (1+f) with 1+f about 1, and s = f / (2+f)."""
    f = _format(e)
    tiny = e.b.fcmp_ordered("<", x, e.real(f.smallest))  # as an integer's exponent is that of a normal number only
    lifted = e.b.select(tiny, e.b.fmul(x, e.real(2.0**f.fraction)), x)
    shifted = e.b.sub(e.b.bitcast(lifted, e.VI), e.integer(f.sqrt_half))
    exponent = e.b.ashr(shifted, e.integer(f.fraction))
    rest = e.b.and_(shifted, e.integer((1 << f.fraction) - 1))
    fraction = e.b.fsub(e.b.bitcast(e.b.add(rest, e.integer(f.sqrt_half)), e.V), e.real(1.0))
    k = e.b.fsub(_whole(e, exponent), e.b.select(tiny, e.real(float(f.fraction)), e.real(0.0)))
    found = _log_of(e, fraction, k)
    found = e.b.select(e.b.fcmp_ordered("<", x, e.real(math.inf)), found, x)
    found = e.b.select(e.b.fcmp_ordered("==", x, e.real(0.0)), e.real(-math.inf), found)
    return e.b.select(e.b.fcmp_ordered("<", x, e.real(0.0)), e.real(math.nan), found)


def _whole(e: Emitter, n: Value) -> Value:
    """Small integers as reals: in the lowest bits of the magic number, which is taken away again."""
    magic = e.real(_format(e).magic)
    return e.b.fsub(e.b.bitcast(e.b.add(n, e.b.bitcast(magic, e.VI)), e.V), magic)


def _log_of(e: Emitter, fraction: Value, k: Value) -> Value:
    """k ln 2 + log(1 + fraction)."""
    f = _format(e)
    s = e.b.fdiv(fraction, e.b.fadd(fraction, e.real(2.0)))
    z = e.b.fmul(s, s)
    series = e.b.fmul(z, _polynomial(e, z, e.b.fmul(z, z), f.logarithm))
    half_square = e.b.fmul(e.b.fmul(e.real(0.5), fraction), fraction)
    high, low = f.ln2
    correction = e.fma(k, e.real(low), e.b.fmul(s, e.b.fadd(half_square, series)))
    return e.fma(k, e.real(high), e.b.fsub(fraction, e.b.fsub(half_square, correction)))


def softplus(e: Emitter, x: Value) -> Value:
    """max(x, 0) + log(1 + e^−|x|), the logarithm as 2s + s·z·R(z) with s = u / (2+u), so that it is right near 0."""
    f = _format(e)
    u = exp(e, e.b.fneg(absolute(e, x)))
    s = e.b.fdiv(u, e.b.fadd(u, e.real(2.0)))
    z = e.b.fmul(s, s)
    series = e.b.fmul(z, _polynomial(e, z, e.b.fmul(z, z), f.half_line))
    return e.b.fadd(relu(e, x), e.fma(s, series, e.b.fadd(s, s)))


def stop_gradient(_: Emitter, x: Value) -> Value:
    return x


def power(e: Emitter, a: Value, b: Value) -> Value:
    """a to the power of b, by the C library."""
    return e.intrinsic("llvm.pow", a, b)


def absolute(e: Emitter, x: Value) -> Value:
    return e.intrinsic("llvm.fabs", x)


def relu(e: Emitter, x: Value) -> Value:
    return e.b.select(e.b.fcmp_ordered("<", x, e.real(0.0)), e.real(0.0), x)


def maximum(e: Emitter, x: Value, y: Value) -> Value:
    """The larger of two, NaN where either is."""
    return e.maximum(x, y)


def minimum(e: Emitter, x: Value, y: Value) -> Value:
    """The smaller of two, NaN where either is."""
    smaller = e.b.or_(e.b.fcmp_ordered("<", x, y), e.b.fcmp_unordered("uno", x, x))
    return e.b.select(smaller, x, y)


def _arithmetic(name: str, *, fuse: bool) -> Callable[..., Value]:
    """An instruction of the builder. Where it may be fused, a product and a sum become one rounding."""
    flags = ("contract",) if fuse else ()
    return lambda e, x, y: getattr(e.b, name)(x, y, flags=flags)


def _ordered(op: str) -> Callable[..., Value]:
    return lambda e, x, y: e.b.fcmp_ordered(op, x, y)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "add": _arithmetic("fadd", fuse=True),
    "sub": _arithmetic("fsub", fuse=True),
    "mul": _arithmetic("fmul", fuse=True),
    "div": _arithmetic("fdiv", fuse=False),
    "pow": power,
    "maximum": maximum,
    "minimum": minimum,
    "neg": lambda e, x: e.b.fneg(x),
    "sigmoid": sigmoid,
    "tanh": tanh,
    "relu": relu,
    "exp": exp,
    "log": log,
    "softplus": softplus,
    "abs": absolute,
    "sqrt": lambda e, x: e.intrinsic("llvm.sqrt", x),
    "lt": _ordered("<"),
    "le": _ordered("<="),
    "gt": _ordered(">"),
    "ge": _ordered(">="),
    "eq": _ordered("=="),
    "ne": lambda e, x, y: e.b.fcmp_unordered("!=", x, y),
    "where": lambda e, condition, x, y: e.b.select(condition, x, y),
    "stop_gradient": stop_gradient,
}
"""What each operation emits: `FUNCTIONS[op](e, *vectors)`. A comparison gives a mask, which `where` takes."""
