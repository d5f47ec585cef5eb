#!/usr/bin/env python3
"""check-loopback.py [--dir DIR] [TSHARK...]: what another decoder says of everything that loopback sends.

Proves, of the files that loopback wrote: every IKE message is dissected and decrypted, every ESP packet has a good ICV and opens to the echo
packet that was meant, nothing is malformed, and there is no expert info of severity warning or above; and that the counts are those of the
story: requests and responses of each exchange, as many echo replies as requests, both IP versions, AES-GCM and AES-CBC.

DIR      where loopback.pcapng and loopback.keys are; without it, loopback is run into a folder of its own ($LOOPBACK names the program;
         default ../target/release/loopback, built if missing)
TSHARK   the command, default tshark; "chroot DIR tshark" works too: the capture goes in by stdin, the keys by options
Needs: tshark 4.2 or later. Time: 2 s."""
import os, subprocess, sys, tempfile
from collections import Counter

args = sys.argv[1:]
folder = args[1] if args[:1] == ["--dir"] else None
tshark = (args[2:] if folder else args) or ["tshark"]
here = os.path.dirname(os.path.abspath(__file__))
FIELDS = ["frame.number", "isakmp.exchangetype", "isakmp.flag_r", "isakmp.enc.decrypted", "esp.icv_good", "esp.icv_bad", "esp.spi", "icmp.type", "icmpv6.type",
          "_ws.malformed", "_ws.expert.severity", "_ws.expert.message", "frame.protocols"]
WARNING = 0x00600000  # epan/proto.h: PI_NOTE is 0x00400000, PI_WARN 0x00600000, PI_ERROR 0x00800000


def run_loopback(into):
    program = os.environ.get("LOOPBACK") or os.path.join(here, "../target/release/loopback")
    if not os.path.exists(program):
        subprocess.run(["cargo", "build", "--release", "-p", "ipsec-examples"], cwd=here, check=True)
    subprocess.run([program, "--quiet", "--out", into], check=True, stdout=subprocess.DEVNULL)


def decode(folder):
    options = ["-o", "esp.enable_encryption_decode:TRUE", "-o", "esp.enable_authentication_check:TRUE"]
    for table in ("ikev2_decryption_table", "esp_sa"):
        for line in open(os.path.join(folder, "loopback.keys", table)):
            options += ["-o", f"uat:{table}:{line.rstrip()}"]
    result = subprocess.run(tshark + ["-n", "-r", "-", *options, "-T", "fields", "-E", "separator=|", "-E", "aggregator=,", *sum((["-e", f] for f in FIELDS), [])],
                            stdin=open(os.path.join(folder, "loopback.pcapng"), "rb"), capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"tshark failed: {result.stderr}")
    return [dict(zip(FIELDS, line.split("|"))) for line in result.stdout.splitlines()]


def check(rows):
    faults, exchanges, echoes, spis = [], Counter(), Counter(), set()
    for row in rows:
        number = row["frame.number"]
        say = lambda what: faults.append(f"packet {number}: {what}")
        severities = [int(s, 0) for s in row["_ws.expert.severity"].split(",") if s]
        if any(s >= WARNING for s in severities):
            say(f"expert info: {row['_ws.expert.message']}")
        if row["_ws.malformed"] or "malformed" in row["frame.protocols"]:
            say("malformed")
        exchange = row["isakmp.exchangetype"]
        if exchange:
            response = row["isakmp.flag_r"] in ("1", "True")
            exchanges[exchange, "response" if response else "request"] += 1
            # 34 is IKE_SA_INIT, in the clear. A text without payloads has nothing to show, and tshark shows it as decrypted all the same.
            if exchange != "34" and not row["isakmp.enc.decrypted"]:
                say("an IKE message that did not open")
        elif row["esp.spi"]:
            spis.add(row["esp.spi"])
            if row["esp.icv_good"] not in ("1", "True") or row["esp.icv_bad"] in ("1", "True"):
                say("an ESP packet with a bad or unchecked ICV")
            kind = {"8": "request", "0": "reply"}.get(row["icmp.type"]) or {"128": "request", "129": "reply"}.get(row["icmpv6.type"])
            if not kind:
                say("an ESP packet without an echo packet in it")
            echoes["IPv4" if row["icmp.type"] else "IPv6", kind] += 1
        else:
            say("neither IKE nor ESP")
    for exchange, count in {"34": 1, "35": 1, "36": 1, "37": 3}.items():
        for half in ("request", "response"):
            if exchanges[exchange, half] != count:
                faults.append(f"{exchanges[exchange, half]} of exchange {exchange}, {half}, not {count}")
    for version in ("IPv4", "IPv6"):
        if echoes[version, "request"] == 0 or echoes[version, "request"] != echoes[version, "reply"]:
            faults.append(f"{version}: {echoes[version, 'request']} echo requests, {echoes[version, 'reply']} replies")
    if len(spis) != 4:
        faults.append(f"{len(spis)} ESP SAs, not 4")
    return faults, sum(exchanges.values()), sum(echoes.values())


with tempfile.TemporaryDirectory() as own:
    if not folder:
        folder = own
        run_loopback(own)
    faults, ike, esp = check(decode(folder))
print("\n".join(faults + [f"{ike} IKE messages and {esp} ESP packets decoded, {len(faults)} faults"]))
sys.exit(bool(faults))
