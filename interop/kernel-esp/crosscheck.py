#!/usr/bin/env python3
"""crosscheck.py: our ESP (the program esp_hex) against the Linux kernel's ESP in user-mode Linux, both directions: we seal echo requests, the
kernel opens them, answers and seals the answers, and we open those. Every cipher that kernel and we have; tunnel, transport and BEET mode; 32-bit and
64-bit sequence numbers, these also over 2^32; raw and in UDP; IPv4 and IPv6 outside and inside. The kernel's own counters must have seen every
packet and no error, and a packet that we send twice must be dropped there as a replay.
In BEET mode also IPv4 options, which the kernel records its route in and hands back, and IPv6 extension headers.
Usage: PEERS=~/peers python3 crosscheck.py [WORD...]    those cases whose text has all of the words
Needs: root, a Debian folder made by interop/setup, cargo build -p ipsec-esp --examples; nothing else of Python. ESP_HEX names the program.
Time: 60 s, 20 s with one mode. Ends with the counts; fails if a case fails."""
import os, pathlib, select, socket, struct, subprocess, sys, time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PROGRAM = os.environ.get("ESP_HEX") or pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/examples/esp_hex"
TAP = "tapu"


def in_a_namespace():
    """Runs this program again inside a network namespace of its own, which is gone afterwards."""
    namespace = f"kesp{os.getpid()}"
    ip = lambda *words: subprocess.run(["ip", *words], check=True)
    ip("netns", "add", namespace)
    try:
        ip("-n", namespace, "tuntap", "add", TAP, "mode", "tap")
        ip("-n", namespace, "link", "set", TAP, "up")
        return subprocess.run(["ip", "netns", "exec", namespace, sys.executable, __file__, "in", namespace, *sys.argv[1:]]).returncode
    finally:
        ip("netns", "del", namespace)


class Kernel:
    """The user-mode Linux: one shell command a call."""

    def __init__(self, namespace):
        self.process = subprocess.Popen([HERE / "uml.sh", namespace, TAP], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                        text=True, bufsize=1)
        for line in self.process.stdout:
            if line.startswith("uml ready"):
                self.version = line.split()[-1]
                return
        sys.exit("the user-mode Linux did not come up")

    def run(self, command):
        self.process.stdin.write(command + "\n")
        output = []
        for line in self.process.stdout:
            if line.startswith("@@ "):
                return int(line.split()[1]), "".join(output)
            output.append(line)
        sys.exit("the user-mode Linux died: " + "".join(output[-20:]))

    def sure(self, command):
        status, output = self.run(command)
        if status:
            raise AssertionError(f"the kernel refuses: {command}: {output.strip()}")
        return output

    def close(self):
        self.process.stdin.write("poweroff\n")
        self.process.wait(20)


class Ours:
    """The program esp_hex: one command a line, one answer a line."""

    def __init__(self):
        self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def ask(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        word, _, rest = self.process.stdout.readline().strip().partition(" ")
        if word != "ok":
            raise AssertionError(f"{words[0]}: {rest}")
        return rest


# ours and the kernel's address outside, then inside
OUTER = {4: ("10.9.0.1", "10.9.0.2"), 6: ("fd09::1", "fd09::2")}
INNER = {4: ("10.1.0.1", "10.2.0.1"), 6: ("fd01::1", "fd02::1")}
TO_KERNEL, TO_US = 0x1001, 0x2002


def octets(count, first=1):
    return bytes((first + at) % 256 for at in range(count))


# an algorithm's transform ID; whether it says the bits of its key; the kernel's name; octets of key beside these bits, and bits of ICV
COMBINED = {
    "GCM-16": (20, True, "rfc4106(gcm(aes))", 4, 128), "GCM-12": (19, True, "rfc4106(gcm(aes))", 4, 96), "GCM-8": (18, True, "rfc4106(gcm(aes))", 4, 64),
    "CCM-16": (16, True, "rfc4309(ccm(aes))", 3, 128), "CCM-12": (15, True, "rfc4309(ccm(aes))", 3, 96), "CCM-8": (14, True, "rfc4309(ccm(aes))", 3, 64),
    "GMAC": (21, True, "rfc4543(gcm(aes))", 4, 128), "ChaCha20-Poly1305": (28, False, "rfc7539esp(chacha20,poly1305)", 4, 128),
}
ENCRYPTION = {"CBC": (12, "cbc(aes)", 0), "CTR": (13, "rfc3686(ctr(aes))", 4), "NULL": (11, "ecb(cipher_null)", 0)}
INTEGRITY = {
    "SHA1-96": (2, "hmac(sha1)", 20, 96), "SHA2-256-128": (12, "hmac(sha256)", 32, 128), "SHA2-384-192": (13, "hmac(sha384)", 48, 192),
    "SHA2-512-256": (14, "hmac(sha512)", 64, 256), "XCBC-96": (5, "xcbc(aes)", 16, 96), "CMAC-96": (8, "cmac(aes)", 16, 96),
}


class Suite:
    """A suite by name: "GCM-16 128", "CBC 256 SHA2-256-128", "NULL 0 SHA1-96"."""

    def __init__(self, name):
        self.name = name
        cipher, bits, *integrity = name.split()
        bits = int(bits)
        if cipher in COMBINED:
            number, says_bits, kernel, salt, icv = COMBINED[cipher]
            self.encr, self.integ = octets(bits // 8 + salt), b""
            self.ours = f"{number}-{bits if says_bits else 0}-0"
            self.kernel = f"aead '{kernel}' 0x{self.encr.hex()} {icv}"
        else:
            number, kernel, salt = ENCRYPTION[cipher]
            integ_number, integ_kernel, key, icv = INTEGRITY[integrity[0]]
            self.encr, self.integ = octets(bits // 8 + salt), octets(key, 101)
            self.ours = f"{number}-{bits}-{integ_number}"
            encr = f"0x{self.encr.hex()}" if self.encr else "''"
            self.kernel = f"enc '{kernel}' {encr} auth-trunc '{integ_kernel}' 0x{self.integ.hex()} {icv}"


def checksum(octets):
    octets += b"\0" * (len(octets) % 2)
    total = sum(struct.unpack(f"!{len(octets) // 2}H", octets))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ends(family, mode):
    """Our and the kernel's address in the packets that are protected."""
    return (OUTER if mode == "transport" else INNER)[family]


def echo_request(family, addresses, sequence, data, options=b""):
    source, destination = (socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, a) for a in addresses)
    kind, protocol = (8, 1) if family == 4 else (128, 58)
    message = struct.pack("!BBHHH", kind, 0, 0, 77, sequence) + data
    pseudo = b"" if family == 4 else source + destination + struct.pack("!IHBB", len(message), 0, 0, 58)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    if family == 6:
        # in their place: destination options that ask for nothing (four octets of padding)
        extension = bytes([protocol, 0, 1, 4, 0, 0, 0, 0]) if options else b""
        return struct.pack("!IHBB", 6 << 28, len(extension + message), 60 if options else protocol, 64) + source + destination + extension + message
    header = struct.pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options + message), sequence, 0, 64, protocol, 0)
    header += source + destination + options
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + message


def is_answer(family, addresses, packet, sequence, data, options=b""):
    source, destination = (socket.inet_pton(socket.AF_INET if family == 4 else socket.AF_INET6, a) for a in addresses)
    at, seen = (20, packet[12:20]) if family == 4 else (40, packet[8:40])
    stated = struct.unpack("!H", packet[2:4])[0] if family == 4 else 40 + struct.unpack("!H", packet[4:6])[0]
    if family == 4:
        at = (packet[0] & 15) * 4
        if at != 20 + len(options) or options and packet[20:23] != options[:2] + bytes([min(options[2] + 8, options[1] + 1)]):
            return False  # the kernel wrote itself into the record route option twice: on the way in, and out
    answer, protocol = packet[at:], packet[9] if family == 4 else packet[6]
    if stated != len(packet) or protocol != (1 if family == 4 else 58) or family == 4 and checksum(packet[:at]):
        return False
    pseudo = b"" if family == 4 else seen + struct.pack("!IHBB", len(answer), 0, 0, 58)
    return not checksum(pseudo + answer) and seen == destination + source and answer[0] == (0 if family == 4 else 129) and answer[4:8] == struct.pack("!HH", 77, sequence) \
        and answer[8:] == data


class Wire:
    """The other end of the kernel's interface."""

    def __init__(self, kernel):
        mac = lambda text: bytes.fromhex(text.strip().replace(":", ""))
        setup = "ip link set vec0 up"
        for family in (4, 6):
            option, bits = ("", 24) if family == 4 else (" nodad", 64)
            single = 32 if family == 4 else 128
            setup += f"; ip addr add {OUTER[family][1]}/{bits} dev vec0{option}; ip addr add {INNER[family][1]}/{single} dev lo{option}"
            setup += f"; ip -{family} route add {INNER[family][0]}/{single} via {OUTER[family][0]} src {INNER[family][1]}"
        kernel.sure(setup)
        self.ours = open(f"/sys/class/net/{TAP}/address").read()
        for family in (4, 6):
            kernel.sure(f"ip neigh replace {OUTER[family][0]} lladdr {self.ours.strip()} dev vec0 nud permanent")
        self.kernels = mac(kernel.sure("cat /sys/class/net/vec0/address"))
        self.ours = mac(self.ours)
        kernel.sure("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.vec0.rp_filter=0")
        # the kernel takes ESP in UDP only on a socket that asked for it: UDP_ENCAP (17, 100) = UDP_ENCAP_ESPINUDP (2)
        kernel.sure("""perl -MSocket=:all -e 'socket(S,AF_INET,SOCK_DGRAM,0);setsockopt(S,17,100,pack("i",2));bind(S,pack_sockaddr_in(4500,INADDR_ANY));'"""
                    """'socket(T,AF_INET6,SOCK_DGRAM,0);setsockopt(T,IPPROTO_IPV6,IPV6_V6ONLY,pack("i",1));setsockopt(T,17,100,pack("i",2));'"""
                    """'bind(T,pack_sockaddr_in6(4500,IN6ADDR_ANY));sleep 3600' &""")
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        self.socket.bind((TAP, 0))

    def send(self, packet):
        kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
        self.socket.send(self.kernels + self.ours + kind + packet)

    def drain(self):
        """Forgets what came too late for the case that asked for it."""
        while select.select([self.socket], [], [], 0)[0]:
            self.socket.recv(65536)

    def receive(self, timeout=10.0):
        """The next packet from the kernel that is ESP, raw or in UDP."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if not select.select([self.socket], [], [], 0.2)[0]:
                # the driver of the user-mode Linux now and then sleeps over a frame, and wakes up by the next: here is one for nobody
                self.socket.send(self.kernels + self.ours + b"\x88\xb5" + bytes(46))
                continue
            frame = self.socket.recv(65536)
            packet = frame[14:]
            if frame[6:12] != self.kernels or not packet:
                continue
            protocol, upper = (packet[9], packet[20:]) if packet[0] >> 4 == 4 else (packet[6], packet[40:])
            if protocol == 50 or protocol == 17 and upper[:4] == struct.pack("!HH", 4500, 4500):
                return packet
        return None


def set_up(kernel, ours, case):
    suite, mode, esn, udp, outer, inner, start = (case[key] for key in ("suite", "mode", "esn", "udp", "outer", "inner", "start"))
    mine, theirs = OUTER[outer]
    high, low = start >> 32, start & 0xFFFFFFFF
    window = f" replay-window 64 flag esn replay-seq-hi {high} replay-oseq-hi {high}" if esn else " replay-window 32"
    window += f" replay-seq {low} replay-oseq {low}"
    encap = f" encap espinudp 4500 4500 {'0.0.0.0' if outer == 4 else '::'}" if udp else ""
    common = f"mode {mode}{window} {suite.kernel}{encap}"
    single = 32 if inner == 4 else 128
    (here, there), protocol = ends(inner, mode), "icmp" if inner == 4 else "ipv6-icmp"
    here, there = f"{here}/{single}", f"{there}/{single}"
    # the kernel's policies see the outer packet too where its addresses are the inner one's: this selector lets ESP and UDP pass
    template = f"proto esp reqid 1 mode {mode}"
    for command in (
        "ip xfrm state flush",
        "ip xfrm policy flush",
        f"ip xfrm state add src {mine} dst {theirs} proto esp spi {TO_KERNEL} reqid 1 {common} sel src {here} dst {there}",
        f"ip xfrm state add src {theirs} dst {mine} proto esp spi {TO_US} reqid 1 {common} sel src {there} dst {here}",
        f"ip xfrm policy add src {here} dst {there} proto {protocol} dir in tmpl src {mine} dst {theirs} {template}",
        f"ip xfrm policy add src {there} dst {here} proto {protocol} dir out tmpl src {theirs} dst {mine} {template}",
    ):
        kernel.sure(command)
    for name, spi in (("out", TO_KERNEL), ("in", TO_US)):
        ours.ask("sa", name, f"suite={suite.ours}", f"mode={mode}", f"spi={spi:08x}", f"encr={suite.encr.hex()}", f"integ={suite.integ.hex()}",
                 *([f"inner-local={here.split('/')[0]}", f"inner-remote={there.split('/')[0]}"] if mode == "beet" else []), f"esn={int(esn)}", f"udp={int(udp)}", f"local={mine}", f"remote={theirs}", f"start={start}")


def counters(kernel):
    return {name: int(value) for name, value in (line.split() for line in kernel.sure("cat /proc/net/xfrm_stat").splitlines())}


def run(kernel, ours, wire, case):
    set_up(kernel, ours, case)
    before, family = counters(kernel), case["inner"]
    wire.drain()
    addresses = ends(family, case["mode"])
    sizes = [0, 1, 2, 3, 13, 64, 500, 1200, 1300]
    for sequence, size in enumerate(sizes, 1):
        data = bytes(at & 0xFF for at in range(size))
        # a record route option with room for so many addresses
        options = bytes([7, 3 + 4 * case["route"], 4]) + bytes(4 * case["route"]) + b"\1" if case["route"] else b""
        sealed = bytes.fromhex(ours.ask("seal", "out", echo_request(family, addresses, sequence, data, options).hex()))
        wire.send(sealed)
        answer = wire.receive()
        assert answer, f"no answer to {size} octets"
        opened = bytes.fromhex(ours.ask("open", "in", answer.hex()))
        assert is_answer(family, addresses, opened, sequence, data, options), f"another answer: {opened.hex()}"
    after = counters(kernel)
    assert after == before, {name: after[name] - before[name] for name in after if after[name] != before[name]}
    wire.send(sealed)
    assert wire.receive(0.2) is None, "a repeated packet is answered"
    replays = counters(kernel)["XfrmInStateSeqError"] - before["XfrmInStateSeqError"]
    assert replays == 1, f"{replays} replays counted"


COMMON = [Suite("GCM-16 128"), Suite("ChaCha20-Poly1305 256"), Suite("CBC 256 SHA2-256-128")]
OTHERS = [Suite(name) for name in (
    "GCM-16 192", "GCM-16 256", "GCM-12 128", "GCM-12 256", "GCM-8 128", "GCM-8 256", "CCM-16 128", "CCM-16 192", "CCM-16 256", "CCM-12 128", "CCM-8 128",
    "CCM-8 256", "GMAC 128", "GMAC 256", "CBC 128 SHA2-512-256", "CBC 192 SHA2-384-192", "CBC 128 SHA1-96", "CBC 128 XCBC-96", "CBC 256 CMAC-96",
    "CTR 128 SHA2-256-128", "CTR 256 SHA2-512-256", "CTR 192 SHA1-96", "CTR 128 XCBC-96", "CTR 128 CMAC-96", "CTR 256 SHA2-384-192",
    "NULL 0 SHA1-96", "NULL 0 SHA2-256-128", "NULL 0 SHA2-384-192", "NULL 0 SHA2-512-256", "NULL 0 XCBC-96", "NULL 0 CMAC-96")]


def cases():
    def case(suite, mode="tunnel", esn=False, udp=False, outer=4, inner=4, start=None, route=0):
        return dict(suite=suite, mode=mode, esn=esn, udp=udp, outer=outer, inner=inner, start=start or ((7 << 32) if esn else 0), route=route)
    for suite in COMMON:
        for mode in ("tunnel", "transport"):
            for family in (4, 6):
                for esn in (False, True):
                    for udp in (False, True):
                        yield case(suite, mode, esn, udp, family, family)
            yield case(suite, mode, esn=True, start=(1 << 32) - 5)
    for suite in OTHERS:
        for esn in (False, True):
            yield case(suite, "tunnel", esn)
            yield case(suite, "transport", esn, outer=6, inner=6)
    for outer, inner in ((4, 6), (6, 4)):
        for udp in (False, True):
            yield case(COMMON[0], udp=udp, outer=outer, inner=inner)
    for suite in COMMON:
        for outer in (4, 6):
            for inner in (4, 6):
                for esn in (False, True):
                    yield case(suite, "beet", esn, udp=False, outer=outer, inner=inner)
        yield case(suite, "beet", esn=True, start=(1 << 32) - 5)
        yield case(suite, "beet", udp=True)
        yield case(suite, "beet", udp=True, outer=6, inner=6)
    for outer in (4, 6):
        for route in range(1, 10):
            yield case(COMMON[0], "beet", outer=outer, inner=4, route=route)
        yield case(COMMON[0], "beet", outer=outer, inner=6, route=1)
    for mode in ("tunnel", "transport", "beet"):
        # over 2^32 in the other ways to carry it, and up to the last 32-bit number
        for outer in (4, 6):
            for udp in (False, True):
                if udp or outer == 6:
                    yield case(COMMON[0], mode, True, udp, outer, outer, start=(1 << 32) - 5)
                yield case(COMMON[0], mode, False, udp, outer, outer, start=(1 << 32) - 10)
    for mode in ("tunnel", "transport"):
        yield case(COMMON[0], mode, route=9)
        yield case(COMMON[0], mode, outer=6, inner=6, route=1)


def main(namespace, words):
    kernel, ours, failed, done = Kernel(namespace), Ours(), 0, 0
    print("kernel", kernel.version)
    wire = Wire(kernel)
    for case in cases():
        text = f"{case['suite'].name}, {case['mode']}, {'64-bit' if case['esn'] else '32-bit'} numbers from {case['start']:#x}, " \
            f"{'UDP' if case['udp'] else 'raw'}, IPv{case['inner']} in IPv{case['outer']}" \
            f"{', options for ' + str(case['route']) + ' addresses' if case['route'] else ''}"
        if not all(word in text for word in words):
            continue
        try:
            run(kernel, ours, wire, case)
            print(f"ok      {text}")
        except AssertionError as error:
            failed += 1
            print(f"FAILED  {text}: {error}")
        done += 1
    kernel.close()
    print(f"kernel-esp: {done - failed} passed, {failed} failed")
    return bool(failed) or not done


sys.exit(main(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["in"] else in_a_namespace())
