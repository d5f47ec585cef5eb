#!/usr/bin/env python3
"""Writes modp_generated.json: exchanges in the MODP groups of RFC 3526, with Python's integers.

The primes come from the RFC's formulas, so that they are proven too. Each group has an exchange of two exponents that
count up, one whose secret has a zero octet at its front, and one whose first public value has. Deterministic.
"""
import json
import os

GROUPS = [(14, 2048, 124476, 40), (15, 3072, 1690314, 53), (16, 4096, 240904, 60)]


def pi_times_two_to(bits):
    """floor(2^bits pi), by Machin's formula."""
    guard = 64
    one = 1 << (bits + guard)

    def arctan_of_inverse(x):
        term = total = one // x
        divisor, sign = 3, -1
        while term:
            term //= x * x
            total += sign * (term // divisor)
            divisor, sign = divisor + 2, -sign
        return total

    return (4 * (4 * arctan_of_inverse(5) - arctan_of_inverse(239))) >> guard


def prime(bits, constant):
    """p = 2^n - 2^(n-64) - 1 + 2^64 * ( [2^(n-130) pi] + c )"""
    return 2**bits - 2**(bits - 64) - 1 + 2**64 * (pi_times_two_to(bits - 130) + constant)


def pattern(length, start):
    return int.from_bytes(bytes((start + i) & 0xFF for i in range(length)), "big")


def main():
    cases = []
    for group, bits, constant, exponent_len in GROUPS:
        p = prime(bits, constant)

        def exchange(what, a, b):
            def number(n, length):
                return n.to_bytes(length, "big").hex()

            cases.append({
                "id": f"group {group}: {what}",
                "group": group,
                "prime": number(p, bits // 8),
                "private": [number(x, exponent_len) for x in (a, b)],
                "public": [number(pow(2, x, p), bits // 8) for x in (a, b)],
                "shared": number(pow(2, a * b, p), bits // 8),
            })

        def begins_with_zero(n):
            return n >> (bits - 8) == 0

        first, second = pattern(exponent_len, 0x21), pattern(exponent_len, 0x87)
        exchange("any", first, second)
        public = pow(2, second, p)
        a = first
        while not begins_with_zero(pow(public, a, p)):
            a += 1
        exchange("a zero at the front of the secret", a, second)
        a = first
        while not begins_with_zero(pow(2, a, p)):
            a += 1
        exchange("a zero at the front of a public value", a, second)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "modp_generated.json"), "w") as out:
        json.dump({"source": "make_modp.py, with Python's integers", "cases": cases}, out, indent=1)
        out.write("\n")


main()
