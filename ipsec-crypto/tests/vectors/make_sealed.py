#!/usr/bin/env python3
"""Writes sealed_generated.json: packets whose IV is made of the packet's number, as this crate seals them.

AES-GCM (RFC 4106, RFC 5282): the IV is the number. AES-CBC (RFC 3602): the IV is the number as one block, encrypted
under the same key (NIST SP 800-38A, Appendix C). Needs the `cryptography` package; deterministic.
"""
import hashlib
import hmac
import json
import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


def pattern(length, start):
    return bytes((start + i) & 0xFF for i in range(length))


def gcm(key_len, number, header, high, text):
    key, salt = pattern(key_len, 0x10), pattern(4, 0xA0)
    iv = number.to_bytes(8, "big")
    aad = header[:4] + high + header[4:]
    return key + salt, b"", header + iv + AESGCM(key).encrypt(salt + iv, text, aad)


def cbc(key_len, number, header, high, text):
    key, integ = pattern(key_len, 0x10), pattern(32, 0xC0)

    def encrypt(mode, octets):
        encryptor = Cipher(algorithms.AES(key), mode).encryptor()
        return encryptor.update(octets) + encryptor.finalize()

    iv = encrypt(modes.ECB(), number.to_bytes(16, "big"))
    packet = header + iv + encrypt(modes.CBC(iv), text)
    return key, integ, packet + hmac.new(integ, packet + high, hashlib.sha256).digest()[:16]


def main():
    shapes = [
        # what, header, number, whether the high half is authenticated without being sent, octets of text
        ("esp", bytes.fromhex("c0ffee0100000007"), 7, False, 64),
        ("esp-esn", bytes.fromhex("c0ffee0100000007"), 0x89ABCDEF00000007, True, 96),
        ("ike", pattern(32, 0x40), 0x0102030405060708, False, 160),
        ("ike-empty", pattern(32, 0x40), 0, False, 0),
    ]
    cases = []
    for name, encr_id, integ, seal in [
        ("gcm16", 20, None, gcm),
        ("cbc-sha256", 12, "AUTH_HMAC_SHA2_256_128", cbc),
    ]:
        for key_bits in (128, 192, 256):
            for what, header, number, esn, text_len in shapes:
                high = number.to_bytes(8, "big")[:4] if esn else b""
                text = pattern(text_len, 0)
                encr_key, integ_key, packet = seal(key_bits // 8, number, header, high, text)
                cases.append({
                    "id": f"{name}-{key_bits}-{what}",
                    "encr_id": encr_id,
                    "key_bits": key_bits,
                    "integ": integ,
                    "encr_key": encr_key.hex(),
                    "integ_key": integ_key.hex(),
                    "number": f"{number:016x}",
                    "esn": esn,
                    "header": header.hex(),
                    "text": text.hex(),
                    "packet": packet.hex(),
                })
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "sealed_generated.json"), "w") as file:
        json.dump({"source": "make_sealed.py, with Python's cryptography", "cases": cases}, file, indent=1)
        file.write("\n")


main()
