#!/usr/bin/env python3
"""Writes sealed_generated.json: packets whose IV is made of the packet's number, as this crate seals them.

One suite of every cipher with every key length, and of every integrity algorithm. The IV is the number, but for AES-CBC
(RFC 3602), where it is the number as one block, encrypted under the same key (NIST SP 800-38A, Appendix C). Needs the
`cryptography` package; deterministic.
"""
import hashlib
import hmac
import json
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.cmac import CMAC


def pattern(length, start):
    return bytes((start + i) & 0xFF for i in range(length))


def crypt(key, mode, octets):
    encryptor = Cipher(algorithms.AES(key), mode).encryptor()
    return encryptor.update(octets) + encryptor.finalize()


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def xcbc(key, message):
    """RFC 3566 §4."""
    k1, k2, k3 = (crypt(key, modes.ECB(), bytes([i] * 16)) for i in (1, 2, 3))
    blocks = [message[i:i + 16] for i in range(0, len(message), 16)] or [b""]
    last = blocks.pop()
    chain = bytes(16)
    for block in blocks:
        chain = crypt(k1, modes.ECB(), xor(chain, block))
    if len(last) == 16:
        last = xor(last, k2)
    else:
        last = xor((last + b"\x80").ljust(16, b"\0"), k3)
    return crypt(k1, modes.ECB(), xor(chain, last))


def cmac(key, message):
    mac = CMAC(algorithms.AES(key))
    mac.update(message)
    return mac.finalize()


def hmac_of(name):
    return lambda key, message: hmac.new(key, message, name).digest()


MACS = {
    "AUTH_HMAC_SHA1_96": (20, 12, hmac_of("sha1")),
    "AUTH_HMAC_SHA2_256_128": (32, 16, hmac_of("sha256")),
    "AUTH_HMAC_SHA2_384_192": (48, 24, hmac_of("sha384")),
    "AUTH_HMAC_SHA2_512_256": (64, 32, hmac_of("sha512")),
    "AUTH_AES_XCBC_96": (16, 12, xcbc),
    "AUTH_AES_CMAC_96": (16, 12, cmac),
}


def combined(aead, salt_len, sent, key_len, number, header, high, text):
    """A combined mode: `aead(key)` encrypts; the IV is sent or not."""
    key, salt = pattern(key_len, 0x10), pattern(salt_len, 0xA0)
    iv = number.to_bytes(8, "big")
    aad = header[:4] + high + header[4:]
    return key + salt, b"", header + (iv if sent else b"") + aead(key).encrypt(salt + iv, text, aad)


def gcm_cut(icv_len):
    """AES-GCM with its ICV cut."""
    class Cut:
        def __init__(self, key):
            self.aead = AESGCM(key)

        def encrypt(self, nonce, text, aad):
            return self.aead.encrypt(nonce, text, aad)[:len(text) + icv_len]
    return Cut


def ccm(icv_len):
    class Ccm:
        def __init__(self, key):
            self.aead = AESCCM(key, icv_len)

        def encrypt(self, nonce, text, aad):
            return self.aead.encrypt(nonce, text, aad)
    return Ccm


def gmac(key_len, number, header, high, text):
    """RFC 4543: header, IV and text are additional data, and nothing is encrypted."""
    key, salt = pattern(key_len, 0x10), pattern(4, 0xA0)
    iv = number.to_bytes(8, "big")
    icv = AESGCM(key).encrypt(salt + iv, b"", header[:4] + high + header[4:] + iv + text)
    return key + salt, b"", header + iv + text + icv


def pair(cipher, mac, key_len, number, header, high, text):
    key = pattern(key_len, 0x10)
    mac_key_len, icv_len, compute = MACS[mac]
    integ = pattern(mac_key_len, 0xC0)
    if cipher == "cbc":
        iv = crypt(key, modes.ECB(), number.to_bytes(16, "big"))
        payload, encr = iv + crypt(key, modes.CBC(iv), text), key
    elif cipher == "ctr":
        salt, iv = pattern(4, 0xA0), number.to_bytes(8, "big")
        payload = iv + crypt(key, modes.CTR(salt + iv + bytes([0, 0, 0, 1])), text)
        encr = key + salt
    else:
        payload, encr = text, b""
    packet = header + payload
    return encr, integ, packet + compute(integ, packet + high)[:icv_len]


def suites():
    """Name, transform, Key Length attribute, INTEG, and what seals."""
    for name, encr, aead, salt, sent in [
        ("gcm16", 20, AESGCM, 4, True),
        ("gcm12", 19, gcm_cut(12), 4, True),
        ("gcm8", 18, gcm_cut(8), 4, True),
        ("ccm16", 16, ccm(16), 3, True),
        ("ccm12", 15, ccm(12), 3, True),
        ("ccm8", 14, ccm(8), 3, True),
        ("gcm16-iiv", 30, AESGCM, 4, False),
        ("ccm8-iiv", 29, ccm(8), 3, False),
    ]:
        for bits in (128, 192, 256):
            yield (f"{name}-{bits}", encr, bits, None,
                   lambda *rest, a=aead, s=salt, e=sent, b=bits: combined(a, s, e, b // 8, *rest))
    for name, encr, sent in [("chacha", 28, True), ("chacha-iiv", 31, False)]:
        yield (name, encr, None, None,
               lambda *rest, e=sent: combined(ChaCha20Poly1305, 4, e, 32, *rest))
    for bits in (128, 192, 256):
        yield f"gmac-{bits}", 21, bits, None, lambda *rest, b=bits: gmac(b // 8, *rest)
    for mac in MACS:
        short = mac.removeprefix("AUTH_").lower()
        for cipher, encr in (("cbc", 12), ("ctr", 13)):
            for bits in (128, 192, 256):
                yield (f"{cipher}-{bits}-{short}", encr, bits, mac,
                       lambda *rest, c=cipher, m=mac, b=bits: pair(c, m, b // 8, *rest))
        yield f"null-{short}", 11, None, mac, lambda *rest, m=mac: pair("null", m, 0, *rest)


def main():
    shapes = [
        # what, header, number, whether the high half is authenticated without being sent, octets of text
        ("esp", bytes.fromhex("c0ffee0100000007"), 7, False, 64),
        ("esp-esn", bytes.fromhex("c0ffee0100000007"), 0x89ABCDEF00000007, True, 96),
        ("ike", pattern(32, 0x40), 0x0102030405060708, False, 160),
        ("ike-empty", pattern(32, 0x40), 0, False, 0),
    ]
    cases = []
    for name, encr_id, key_bits, integ, seal in suites():
        for what, header, number, esn, text_len in shapes:
            high = number.to_bytes(8, "big")[:4] if esn else b""
            text = pattern(text_len, 0)
            encr_key, integ_key, packet = seal(number, header, high, text)
            cases.append({
                "id": f"{name}-{what}",
                "encr_id": encr_id,
                "key_bits": key_bits,
                "integ": integ,
                "encr_key": encr_key.hex(),
                "integ_key": integ_key.hex(),
                "number": f"{number:016x}",
                "esn": esn,
                "header": header.hex(),
                "text_len": text_len,
                "packet": packet.hex(),
            })
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sealed_generated.json"), "w") as file:
        source = "make_sealed.py, with Python's cryptography; the text counts up from 0"
        lines = ",\n".join("  " + json.dumps(case) for case in cases)
        file.write(f'{{\n "source": "{source}",\n "cases": [\n{lines}\n ]\n}}\n')


main()
