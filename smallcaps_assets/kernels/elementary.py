"""Logarithm, exponential and power with the same bits on every processor.

Those of libm, numpy and polars differ in the last bit between processors with and without fused
multiply-add or wide vectors. These use additions, multiplications and divisions only, each rounded
as IEEE 754 says; compiled without fast-math nothing is fused or put in another order.

A logarithm is that of the mantissa m between sqrt(1/2) and sqrt(2), by the series of
2 atanh((m - 1) / (m + 1)), plus a multiple of ln 2. An exponential is the Taylor series around 0 of
what is left after the nearest multiple of ln 2, times a power of two. The largest terms are kept in
two parts each, so that errors stay below 0.6 units in the last place. A product is split after
Dekker (1971), a sum after Knuth.
"""

from __future__ import annotations

import math

import numpy as np

from smallcaps_assets.kernels.compiled import compiled

LN2_HIGH = float.fromhex("0x1.62e42fefap-1")  # 37 bits: times a power's number it is exact
LN2_LOW = float.fromhex("0x1.cf79abc9e3b3ap-40")
PER_LN2 = float.fromhex("0x1.71547652b82fep+0")
SQRT_HALF = math.sqrt(0.5)
SPLITTER = 2.0**27 + 1.0
ATANH_TERMS = 12
EXP_TERMS = 13
TWO_OVER_ODD = np.array([2.0 / (2 * n + 1) for n in range(ATANH_TERMS, 0, -1)])
PER_FACTORIAL = np.array([1.0 / math.factorial(n) for n in range(EXP_TERMS + 1, 1, -1)])
LARGEST_EXPONENT, SMALLEST_EXPONENT = 710.0, -746.0


@compiled
def exact_product(a, b):
    """A product and what its rounding has left off; of factors below 1e290."""
    product = a * b
    a_high, b_high = a * SPLITTER, b * SPLITTER
    a_high -= a_high - a
    b_high -= b_high - b
    a_low, b_low = a - a_high, b - b_high
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


@compiled
def exact_sum(a, b):
    """A sum and what its rounding has left off."""
    total = a + b
    rest = total - a
    return total, (a - (total - rest)) + (b - rest)


@compiled
def log_parts(x):
    """The logarithm of a positive finite number as a sum of two, to 2**-60 of itself."""
    mantissa, power = math.frexp(x)
    if mantissa < SQRT_HALF:
        mantissa *= 2.0
        power -= 1
    above = mantissa - 1.0
    below, below_rest = exact_sum(mantissa, 1.0)
    ratio = above / below
    product, rest = exact_product(ratio, below)
    ratio_rest = (((above - product) - rest) - ratio * below_rest) / below
    square = ratio * ratio
    series = 0.0
    for k in range(ATANH_TERMS):
        series = (series + TWO_OVER_ODD[k]) * square
    high, low = exact_sum(power * LN2_HIGH, 2.0 * ratio)
    return exact_sum(high, low + (power * LN2_LOW + (2.0 * ratio_rest + ratio * series)))


@compiled
def exp_of_parts(high, low):
    """The exponential of a sum of two, the second far smaller."""
    if math.isnan(high):
        return high
    if high >= LARGEST_EXPONENT:
        return math.inf
    if high < SMALLEST_EXPONENT:
        return 0.0
    power = math.floor(high * PER_LN2 + 0.5)
    left = high - power * LN2_HIGH
    argument, rest = exact_sum(left, low - power * LN2_LOW)
    series = 0.0
    for k in range(EXP_TERMS):
        series = (series + PER_FACTORIAL[k]) * argument
    total, carried = exact_sum(1.0, argument)
    value = total + (carried + (rest + series * argument))
    return math.ldexp(value, int(power))


@compiled
def log(x):
    """The natural logarithm; NaN below 0, as numpy's."""
    if not 0.0 < x < math.inf:
        return x if x == math.inf else (-math.inf if x == 0.0 else math.nan)
    high, low = log_parts(x)
    return high + low


@compiled
def exp(x):
    """The exponential."""
    return exp_of_parts(x, 0.0)


@compiled
def power(x, y):
    """x ** y of x >= 0 and finite y."""
    if y == 0.0 or x == 1.0:
        return 1.0
    if y == 1.0:
        return x
    if not 0.0 < x < math.inf:
        if math.isnan(x):
            return x
        return math.inf if (x == 0.0) == (y < 0.0) else 0.0
    high, low = log_parts(x)
    if abs(y * high) > 1000.0:
        return math.inf if y * high > 0.0 else 0.0
    product, rest = exact_product(y, high)
    return exp_of_parts(product, rest + y * low)


@compiled
def logs(values, found):
    """Logarithms of an array, into `found`."""
    for k in range(values.size):
        found[k] = log(values[k])


@compiled
def exps(values, found):
    """Exponentials of an array, into `found`."""
    for k in range(values.size):
        found[k] = exp(values[k])
