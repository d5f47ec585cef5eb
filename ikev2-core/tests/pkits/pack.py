#!/usr/bin/env python3
"""pack.py FOLDER: packs NIST's PKITS (csrc.nist.gov, public domain) for the tests.

FOLDER is tests/fixtures/nist_pkits of the source package of pyhanko-certvalidator 0.33.0 on PyPI, which lists NIST's
cases, files and verdicts in pkits.json. Written are `files.bin`, all certificates and lists one after the other in
DER, and `cases.txt`: section, verdict, name, the places of the certificates (end entity first), those of the lists.
Sections 4.8 to 4.12 are about certificate policies and left out.
"""
import base64
import json
import sys
from pathlib import Path

folder, here = Path(sys.argv[1]), Path(__file__).parent
files, places = b"", {}


def place(name):
    global files
    if name not in places:
        data = (folder / name).read_bytes()
        if data.startswith(b"-----"):
            data = base64.b64decode(b"".join(data.split(b"\n")[1:]).split(b"-----")[0])
        places[name] = f"{len(files)}+{len(data)}"
        files += data
    return places[name]


lines = ["anchor " + place("certs/TrustAnchorRootCertificate.crt")]
for case in json.loads((folder / "pkits.json").read_text()):
    section = f"4.{int(case['id'][1:3])}.{int(case['id'][3:5])}"
    if 8 <= int(case["id"][1:3]) <= 12:
        continue
    verdict = "invalid" if "error" in case else "valid"
    certificates = [place("certs/" + name) for name in [case["cert"], *case.get("other_certs", [])]]
    lists = [place("crls/" + name) for name in ["TrustAnchorRootCRL.crl", *case.get("crls", [])]]
    lines.append(" ".join([section, verdict, case["name"], ",".join(certificates), ",".join(lists)]))
(here / "files.bin").write_bytes(files)
(here / "cases.txt").write_text("\n".join(lines) + "\n")
