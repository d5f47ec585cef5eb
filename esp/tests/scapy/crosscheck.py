#!/usr/bin/env python3
"""crosscheck.py [SAS [SEED]]: our ESP against Scapy's, both ways, over random SAs (default 1000): every cipher that both have, all key lengths;
tunnel mode with IPv4 and IPv6 inside of either, transport mode with IPv4 options and IPv6 extension headers, and BEET mode, which Scapy does as
transport mode with other addresses; 32-bit and 64-bit sequence
numbers, also around 2^32; raw and in UDP. What we seal Scapy opens to the same octets, and the other way round; a packet with one octet changed
opens on neither side.
Needs: cargo build -p ipsec-esp --examples; pip install scapy cryptography. Time: 30 s.
ESP_HEX names the program, default target/debug/examples/esp_hex in the repository (or in CARGO_TARGET_DIR)."""
import os, pathlib, random, subprocess, sys
from scapy.all import IP, IPv6, ICMP, ICMPv6EchoRequest, TCP, UDP, Raw, raw
from scapy.layers.inet import IPOption_LSRR, IPOption_RR, IPOption_Router_Alert
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN
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


# the transform ID, the key lengths in bits, octets of salt, Scapy's name
COMBINED = [(20, (128, 192, 256), 4, "AES-GCM"), (16, (128, 192, 256), 3, "AES-CCM"), (21, (128, 192, 256), 4, "AES-NULL-GMAC"),
            (28, (0,), 4, "CHACHA20-POLY1305")]
ENCRYPTION = [(12, (128, 192, 256), 0, "AES-CBC"), (13, (128, 192, 256), 4, "AES-CTR"), (11, (0,), 0, "NULL")]
# the transform ID, octets of key, Scapy's name
INTEGRITY = [(2, 20, "HMAC-SHA1-96"), (12, 32, "SHA2-256-128"), (13, 48, "SHA2-384-192"), (14, 64, "SHA2-512-256"), (8, 16, "AES-CMAC-96")]


def some_suite(rng):
    combined = rng.random() < 0.6
    number, bits, salt, name = rng.choice(COMBINED if combined else ENCRYPTION)
    bits, key = rng.choice(bits), None
    encr = rng.randbytes((256 if number == 28 else bits) // 8 + salt)
    suite = dict(encr=encr, integ=b"", algorithms=dict(crypt_algo=name, crypt_key=encr or None))
    integ = 0
    if not combined:
        integ, octets, name = rng.choice(INTEGRITY)
        suite["integ"] = rng.randbytes(octets)
        suite["algorithms"].update(auth_algo=name, auth_key=suite["integ"])
    return dict(suite, suite=f"{number}-{bits}-{integ}")


def some_sa(rng, number):
    esn = rng.random() < 0.5
    last = (1 << 64) - 1 if esn else (1 << 32) - 1
    starts = [0, rng.randrange(1 << 16), rng.randrange(last - 100)] + ([(1 << 32) - 1 - rng.randrange(4), (7 << 32) - 2] if esn else [last - 20])
    outer_v6 = rng.random() < 0.5
    local, remote = ("2001:db8::1", "2001:db8:0:1::2") if outer_v6 else ("192.0.2.1", "198.51.100.2")
    # Scapy 2.8 puts UDP around ESP in IPv4 only
    udp = not outer_v6 and rng.random() < 0.5
    return dict(some_suite(rng), name=f"sa{number}", mode=rng.choice(["tunnel", "transport", "beet"]), spi=rng.randrange(256, 1 << 32), esn=esn, udp=udp,
                local=local, remote=remote, start=rng.choice(starts))


def scapy_sa(sa, source, destination):
    header = (IPv6 if ":" in source else IP)(src=source, dst=destination)
    around = dict(tunnel_header=header) if sa["mode"] == "tunnel" else {}
    udp = dict(nat_t_header=UDP(sport=4500, dport=4500)) if sa["udp"] else {}
    return SecurityAssociation(ESP, spi=sa["spi"], esn_en=sa["esn"], **around, **udp, **sa["algorithms"])


def options_v4(rng):
    """Options to a whole number of words, by Scapy."""
    return rng.choice([[], [IPOption_Router_Alert()], [IPOption_RR(routers=["0.0.0.0"] * rng.randrange(1, 9))], [IPOption_LSRR(routers=["192.0.2.9"])]])


def headers_v6(rng):
    """Extension headers in the order of RFC 8200 section 4.1, each now and then."""
    padding = lambda: [PadN(optdata=bytes(rng.choice([4, 12])))]
    some = [IPv6ExtHdrHopByHop(options=padding()), IPv6ExtHdrDestOpt(options=padding()), IPv6ExtHdrRouting(addresses=["2001:db8:7::7"], segleft=0)]
    chosen = [header for header in some if rng.random() < 0.3]
    if not any(isinstance(header, IPv6ExtHdrRouting) for header in chosen):
        # in front of ESP it would say nothing that behind it is not said better, and Scapy leaves it in front
        chosen = [header for header in chosen if not isinstance(header, IPv6ExtHdrDestOpt)]
    if rng.random() < 0.2:
        chosen.append(IPv6ExtHdrDestOpt(options=padding()))
    return chosen


INNER_V4, INNER_V6 = ("10.1.0.1", "10.2.0.1"), ("fd00:1::1", "fd00:2::1")


def beet_pair(sa):
    """The addresses inside in BEET mode: of the outer ones' family, for Scapy's sake."""
    return INNER_V6 if ":" in sa["local"] else INNER_V4


def some_packet(rng, sa, back=False):
    """A packet from our side to the other, or back."""
    payload = Raw(rng.randbytes(rng.choice([0, 1, 2, 3, rng.randrange(64), rng.randrange(1400)])))
    beet, pair = sa["mode"] == "beet", {"transport": (sa["local"], sa["remote"]), "beet": beet_pair(sa)}.get(sa["mode"])
    if (":" not in sa["local"]) if pair else rng.random() < 0.5:
        source, destination = (pair or INNER_V4)[::-1 if back else 1]
        above = rng.choice([UDP(sport=5000, dport=5001), TCP(sport=1024, dport=443), ICMP(type=8)])
        return raw(IP(src=source, dst=destination, tos=rng.randrange(256), id=rng.randrange(65536), ttl=rng.randrange(1, 256),
                      flags=rng.choice([0, "DF"]), options=[] if beet else options_v4(rng)) / above / payload)
    source, destination = (pair or INNER_V6)[::-1 if back else 1]
    packet = IPv6(src=source, dst=destination, tc=rng.randrange(256), fl=rng.randrange(1 << 20), hlim=rng.randrange(1, 256))
    for header in [] if beet else headers_v6(rng):
        packet = packet / header
    return raw(packet / rng.choice([UDP(sport=5000, dport=5001), TCP(sport=1024, dport=443), ICMPv6EchoRequest()]) / payload)


def parse(octets):
    return (IP if octets[0] >> 4 == 4 else IPv6)(octets)


def between(sa, packet, addresses):
    """In BEET mode: the same packet between other addresses."""
    if sa["mode"] == "beet":
        packet.src, packet.dst = addresses
        if isinstance(packet, IP):
            del packet.chksum
    return packet


def esn_of(sa, number):
    return dict(esn_en=True, esn=number >> 32) if sa["esn"] else {}


def changed(rng, octets, sa):
    """The packet with one octet of its ESP part behind SPI and number changed."""
    esp_at = octets.index(sa["spi"].to_bytes(4, "big")) + 8
    octets = bytearray(octets)
    octets[rng.randrange(esp_at, len(octets))] ^= rng.randrange(1, 256)
    return bytes(octets)


def check(ours, rng, sa):
    fields = dict(suite=sa["suite"], mode=sa["mode"], spi="%08x" % sa["spi"], encr=sa["encr"].hex(), integ=sa["integ"].hex(), esn=int(sa["esn"]), udp=int(sa["udp"]),
                  local=sa["local"], remote=sa["remote"], start=sa["start"])
    if sa["mode"] == "beet":
        fields["inner-local"], fields["inner-remote"] = beet_pair(sa)
    ours.sure("sa", sa["name"], *(f"{key}={value}" for key, value in fields.items()))
    theirs_in = scapy_sa(sa, sa["local"], sa["remote"])
    theirs_out = scapy_sa(sa, sa["remote"], sa["local"])
    for number in range(sa["start"] + 1, sa["start"] + 9):
        inner = some_packet(rng, sa)
        sealed = bytes.fromhex(ours.sure("seal", sa["name"], inner.hex()))
        opened = raw(theirs_in.decrypt(between(sa, parse(sealed), beet_pair(sa)), **esn_of(sa, number)))
        assert opened == inner, f"Scapy opens ours to {opened.hex()}"
        try:
            theirs_in.decrypt(between(sa, parse(changed(rng, sealed, sa)), beet_pair(sa)), **esn_of(sa, number))
            raise SystemExit("Scapy opens a changed packet")
        except Exception as error:
            assert type(error).__name__ in ("IPSecIntegrityError", "InvalidTag"), repr(error)

        if number & 0xFFFFFFFF == 0:
            continue  # Scapy takes 0 for "no number given"
        inner = some_packet(rng, sa, back=True)
        sealed = theirs_out.encrypt(parse(inner), seq_num=number & 0xFFFFFFFF, **esn_of(sa, number))
        sealed = raw(between(sa, sealed, (sa["remote"], sa["local"])))
        good, reason = ours.ask("open", sa["name"], changed(rng, sealed, sa).hex())
        assert not good and "integrity" in reason, f"a changed packet: {reason}"
        opened = bytes.fromhex(ours.sure("open", sa["name"], sealed.hex()))
        assert opened == inner, f"we open Scapy's to {opened.hex()}"
        good, reason = ours.ask("open", sa["name"], sealed.hex())
        assert not good and "received before" in reason, f"a repeated packet: {reason}"


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
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
