#!/usr/bin/env python3
"""crosscheck.py [SAS [SEED]]: our ESP against Scapy's, both ways, over random SAs (default 200): AES-GCM-16 and AES-CBC with
HMAC-SHA2-256-128, all key lengths; IPv4 and IPv6 inside of either; 32-bit and 64-bit sequence numbers, also around 2^32; raw and in UDP.
What we seal Scapy opens to the same octets, and the other way round; a packet with one octet changed opens on neither side.
Needs: cargo build -p ipsec-esp --examples; pip install scapy cryptography. Time: 10 s.
ESP_HEX names the program, default target/debug/examples/esp_hex in the repository (or in CARGO_TARGET_DIR)."""
import os, pathlib, random, subprocess, sys
from scapy.all import IP, IPv6, ICMP, ICMPv6EchoRequest, TCP, UDP, Raw, raw
from scapy.layers.ipsec import ESP, SecurityAssociation

ROOT = pathlib.Path(__file__).resolve().parents[3]
PROGRAM = os.environ.get("ESP_HEX") or pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples/esp_hex"


class Ours:
    """The program esp_hex: one command a line, one answer a line."""

    def __init__(self):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, *words):
        self.process.stdin.write(" ".join(words) + "\n")
        word, _, rest = self.process.stdout.readline().strip().partition(" ")
        return (word == "ok", rest)

    def sure(self, *words):
        good, rest = self.ask(*words)
        if not good:
            raise AssertionError(f"{words[0]}: {rest}")
        return rest


def some_sa(rng, number):
    mode, bits = rng.choice([("gcm", 128), ("gcm", 192), ("gcm", 256), ("cbc", 128), ("cbc", 192), ("cbc", 256)])
    encr = rng.randbytes(bits // 8 + (4 if mode == "gcm" else 0))
    integ = b"" if mode == "gcm" else rng.randbytes(32)
    esn = rng.random() < 0.5
    last = (1 << 64) - 1 if esn else (1 << 32) - 1
    starts = [0, rng.randrange(1 << 16), rng.randrange(last - 100)] + ([(1 << 32) - 1 - rng.randrange(4), (7 << 32) - 2] if esn else [last - 20])
    outer_v6 = rng.random() < 0.5
    local, remote = ("2001:db8::1", "2001:db8:0:1::2") if outer_v6 else ("192.0.2.1", "198.51.100.2")
    # Scapy 2.8 puts UDP around ESP in IPv4 only
    udp = not outer_v6 and rng.random() < 0.5
    return dict(name=f"sa{number}", suite=f"{mode}-{bits}", spi=rng.randrange(256, 1 << 32), encr=encr, integ=integ, esn=esn, udp=udp,
                local=local, remote=remote, start=rng.choice(starts))


def scapy_sa(sa, source, destination):
    algorithms = dict(crypt_algo="AES-GCM", crypt_key=sa["encr"]) if sa["suite"].startswith("gcm") else \
        dict(crypt_algo="AES-CBC", crypt_key=sa["encr"], auth_algo="SHA2-256-128", auth_key=sa["integ"])
    header = (IPv6 if ":" in source else IP)(src=source, dst=destination)
    udp = dict(nat_t_header=UDP(sport=4500, dport=4500)) if sa["udp"] else {}
    return SecurityAssociation(ESP, spi=sa["spi"], esn_en=sa["esn"], tunnel_header=header, **udp, **algorithms)


def some_packet(rng):
    payload = Raw(rng.randbytes(rng.choice([0, 1, 2, 3, rng.randrange(64), rng.randrange(1400)])))
    if rng.random() < 0.5:
        above = rng.choice([UDP(sport=5000, dport=5001), TCP(sport=1024, dport=443), ICMP(type=8)])
        return raw(IP(src="10.1.0.1", dst="10.2.0.1", tos=rng.randrange(256), flags=rng.choice([0, "DF"])) / above / payload)
    above = rng.choice([UDP(sport=5000, dport=5001), TCP(sport=1024, dport=443), ICMPv6EchoRequest()])
    return raw(IPv6(src="fd00:1::1", dst="fd00:2::1", tc=rng.randrange(256)) / above / payload)


def parse(octets):
    return (IP if octets[0] >> 4 == 4 else IPv6)(octets)


def esn_of(sa, number):
    return dict(esn_en=True, esn=number >> 32) if sa["esn"] else {}


def changed(rng, octets, sa):
    """The packet with one octet of its ESP part behind SPI and number changed."""
    esp_at = (40 if ":" in sa["local"] else 20) + (8 if sa["udp"] else 0) + 8
    octets = bytearray(octets)
    octets[rng.randrange(esp_at, len(octets))] ^= rng.randrange(1, 256)
    return bytes(octets)


def check(ours, rng, sa):
    fields = dict(suite=sa["suite"], spi="%08x" % sa["spi"], encr=sa["encr"].hex(), integ=sa["integ"].hex(), esn=int(sa["esn"]), udp=int(sa["udp"]),
                  local=sa["local"], remote=sa["remote"], start=sa["start"])
    ours.sure("sa", sa["name"], *(f"{key}={value}" for key, value in fields.items()))
    theirs_in = scapy_sa(sa, sa["local"], sa["remote"])
    theirs_out = scapy_sa(sa, sa["remote"], sa["local"])
    for number in range(sa["start"] + 1, sa["start"] + 9):
        inner = some_packet(rng)
        sealed = bytes.fromhex(ours.sure("seal", sa["name"], inner.hex()))
        opened = raw(theirs_in.decrypt(parse(sealed), **esn_of(sa, number)))
        assert opened == inner, f"Scapy opens ours to {opened.hex()}"
        try:
            theirs_in.decrypt(parse(changed(rng, sealed, sa)), **esn_of(sa, number))
            raise SystemExit("Scapy opens a changed packet")
        except Exception as error:
            assert type(error).__name__ in ("IPSecIntegrityError", "InvalidTag"), repr(error)

        if number & 0xFFFFFFFF == 0:
            continue  # Scapy takes 0 for "no number given"
        inner = some_packet(rng)
        sealed = raw(theirs_out.encrypt(parse(inner), seq_num=number & 0xFFFFFFFF, **esn_of(sa, number)))
        good, reason = ours.ask("open", sa["name"], changed(rng, sealed, sa).hex())
        assert not good and "integrity" in reason, f"a changed packet: {reason}"
        opened = bytes.fromhex(ours.sure("open", sa["name"], sealed.hex()))
        assert opened == inner, f"we open Scapy's to {opened.hex()}"
        good, reason = ours.ask("open", sa["name"], sealed.hex())
        assert not good and "received before" in reason, f"a repeated packet: {reason}"


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    rng, ours, failed = random.Random(seed), Ours(), 0
    for number in range(count):
        sa = some_sa(rng, number)
        try:
            check(ours, rng, sa)
        except AssertionError as error:
            failed += 1
            print({key: value.hex() if isinstance(value, bytes) else value for key, value in sa.items()}, error)
    print(f"scapy: {count - failed} SAs agree, {failed} do not (seed {seed})")
    sys.exit(bool(failed))


main()
