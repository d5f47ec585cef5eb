#!/usr/bin/env python3
"""Writes signatures_generated.json with Python's `cryptography`.

ECDSA: the keys and messages of RFC 6979 A.2.5, A.2.6 and A.2.7 with every hash that goes with them, signed
deterministically, so that the values are the RFC's own. RSA: keys/rsa2048.pem with every padding and hash; PSS has a
random salt, so that these signatures are others at every run.
"""
import json
import os

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

HERE = os.path.dirname(os.path.abspath(__file__))
HASHES = [("SHA2-256", hashes.SHA256()), ("SHA2-384", hashes.SHA384()), ("SHA2-512", hashes.SHA512())]
EC_KEYS = [
    ("A.2.5", ec.SECP256R1(), 32, "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"),
    ("A.2.6", ec.SECP384R1(), 48,
     "6B9D3DAD2E1B8C1C05B19875B6659F4DE23C3B667BF297BA9AA47740787137D8"
     "96D5724E4C70A825F872C9EA60D2EDF5"),
    ("A.2.7", ec.SECP521R1(), 66,
     "00FAD06DAA62BA3B25D2FB40133DA757205DE67F5BB0018FEE8C86E1B68C7E75"
     "CAA896EB32F1F47C70855836A6D16FCC1466F6D8FBEC67DB89EC0C08B0E996B83538"),
]


def spki(key):
    return key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    ).hex()


def ecdsa():
    for section, curve, width, scalar in EC_KEYS:
        key = ec.derive_private_key(int(scalar, 16), curve)
        for name, algorithm in HASHES:
            for message in (b"sample", b"test"):
                der = key.sign(message, ec.ECDSA(algorithm, deterministic_signing=True))
                raw = b"".join(part.to_bytes(width, "big") for part in decode_dss_signature(der))
                yield {
                    "id": f"RFC 6979 {section}, {name}, {message.decode()}",
                    "scheme": f"ECDSA with {name}",
                    "private": scalar.lower(),
                    "spki": spki(key),
                    "message": message.hex(),
                    "raw": raw.hex(),
                    "der": der.hex(),
                }


def rsa():
    with open(os.path.join(HERE, "keys", "rsa2048.pem"), "rb") as file:
        key = serialization.load_pem_private_key(file.read(), None)
    message = b"The AUTH payload signs this."
    for name, algorithm in [("SHA-1", hashes.SHA1()), *HASHES]:
        paddings = [("RSASSA-PKCS1-v1_5", padding.PKCS1v15())]
        if name != "SHA-1":
            paddings.append(("RSASSA-PSS", padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)))
        for padding_name, how in paddings:
            yield {
                "id": f"{padding_name}, {name}",
                "scheme": f"{padding_name} with {name}",
                "spki": spki(key),
                "message": message.hex(),
                "signature": key.sign(message, how, algorithm).hex(),
            }


with open(os.path.join(HERE, "signatures_generated.json"), "w") as out:
    source = "make_signatures.py, with Python's cryptography"
    json.dump({"source": source, "ecdsa": list(ecdsa()), "rsa": list(rsa())}, out, indent=1)
    out.write("\n")
