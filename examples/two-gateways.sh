#!/bin/bash
# two-gateways.sh: two of our gateways, each in a network namespace of its own, and pings through the tunnel between them.
# Proves: both sides come up, pings of mixed sizes pass both ways and none is lost, what is on the wire is ESP alone, Ctrl-C on one side deletes
# the SAs on both, and then no ping passes: as raw ESP and in UDP, over IPv4 and IPv6. A Child SA near its end is replaced without loss;
# what failed is tried again.
# Needs: root, iproute2, ping (or a Debian folder in $PEERS, as interop/setup makes it, that has one). $GATEWAY names the program (default: target/release/gateway, built if missing).
set -uo pipefail
cd "$(dirname "$0")"
gateway=${GATEWAY:-../target/release/gateway}
[[ -x $gateway ]] || cargo build --release -p ipsec-examples || exit 1
lab=$(mktemp -d) ns=gw$$ pids=()
in_ns() { # in_ns SIDE COMMAND...
  local s=$1; shift
  if [[ $1 == ping ]] && ! command -v /bin/ping >/dev/null; then set -- chroot "${PEERS:-$HOME/peers}" "$@"; fi
  ip netns exec "$ns$s" "$@"
}
cleanup() {
  local p s
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done; wait 2>/dev/null
  for s in a b; do ip netns del $ns$s 2>/dev/null; done
  [[ -z ${KEEP:-} ]] || { mkdir -p "$KEEP"; cp -r "$lab/." "$KEEP"; }
  rm -rf "$lab"
}
trap cleanup EXIT
die() { echo "FAILED: $*"; for s in a b; do echo "--- $s"; tail -n 20 "$lab/$s.log"; done; exit 1; }
wait_for() { local i; for i in $(seq 100); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done; return 1; }
logged() { grep -qE -- "$2" "$lab/$1.log"; }
want() { wait_for logged "$1" "$2" || die "$1 never said: $2"; }

wires() {
  local s n
  for s in a b; do ip netns add $ns$s; done
  ip link add va netns ${ns}a type veth peer name vb netns ${ns}b
  for s in a b; do
    n=1; [[ $s == b ]] && n=2
    ip -n $ns$s link set lo up
    ip -n $ns$s addr add 10.$n.0.1/32 dev lo; ip -n $ns$s addr add fd0$n::1/128 dev lo
    ip -n $ns$s addr add 10.9.0.$n/24 dev v$s; ip -n $ns$s addr add fd09::$n/64 dev v$s nodad; ip -n $ns$s link set v$s up
  done
}
start() { # start SIDE CONFIG
  # Each packet is counted on the wire.
  { echo 'trains = false'; cat "$2"; } >"$lab/$1.started.toml"
  ip netns exec $ns$1 "$gateway" --config "$lab/$1.started.toml" --verbose >"$lab/$1.log" 2>&1 & pids+=($!); declare -g "pid_$1=$!"
}
packets() { ip -n ${ns}b -s link show vb | awk '/RX:/ { getline; print $2 }'; }
five() { # five FROM_NS FROM TO SIZE: five pings at once; a late answer is waited for as long as the interval, the others are not
  local got
  got=$(in_ns $1 ping -n -q -c 5 -l 5 -i 2 -W 5 -s $4 -I "$2" "$3" | sed -n 's/.* \([0-9]*\) received.*/\1/p')
  [[ $got == 5 ]] || die "ping of $4 octets from $2 to $3: ${got:-0} of 5 came back"
}
pings() { # pings FROM_NS FROM TO
  local size before after n=0
  before=$(packets)
  for size in 0 1 15 16 17 64 333 1000 1300 1372 2000 4000; do
    five $1 "$2" "$3" $size
    n=$((n + 5))
  done
  after=$(packets)
  ((after - before >= n)) || die "the wire saw $((after - before)) packets for $n pings"
  echo "  $n pings from $2 to $3, none lost"
}
run() { # run NAME SED_SCRIPT FROM TO PATTERN: the two example configurations, changed by a sed script
  local s
  echo "$1"
  for s in a b; do sed -E "$2" gateway-$s.toml >"$lab/$s.toml"; : >"$lab/$s.log"; done
  start b "$lab/b.toml"; want b 'listening'
  start a "$lab/a.toml"
  want a "Child SA up: net, .*$5"; want b "Child SA up: net, .*$5"
  pings a "$3" "$4"; pings b "$4" "$3"
  kill -INT "$pid_a"; wait "$pid_a" || die "a left with $?"
  want a 'IKE SA down: b: deleted by us'; want b 'IKE SA down: a: deleted by the peer'
  in_ns a ping -n -q -c 1 -W 1 -I "$3" "$4" >/dev/null 2>&1 && die "a ping passes without an SA"
  kill -TERM "$pid_b"; wait "$pid_b" || die "b left with $?"
  grep -hE 'packets (in|out)' "$lab/a.log" | sed 's/^ *[0-9.]* /  a:/'
  grep -q 'packets in: 0,' "$lab/a.log" "$lab/b.log" && die "no packet was carried"
  ip -n ${ns}a link show ipsec0 >/dev/null 2>&1 && die "the TUN device is still there"
}

begin() { # begin NAME SED_SCRIPT_OF_A SED_SCRIPT_OF_B: both up, whatever comes of it
  echo "$1"
  sed -E "$2" gateway-a.toml >"$lab/a.toml"; sed -E "$3" gateway-b.toml >"$lab/b.toml"
  start b "$lab/b.toml"; want b 'listening'
  start a "$lab/a.toml"
}
finish() { # both down, in order
  kill -INT "$pid_a"; wait "$pid_a" || die "a left with $?"
  kill -INT "$pid_b"; wait "$pid_b" || die "b left with $?"
}
replaced() { # a Child SA at its end gives way to a new one, and no packet is lost meanwhile
  begin 'a Child SA of three seconds' 's/^esp = .*/&\nlifetime = { seconds = 3 }/' ''
  want a 'Child SA up: net'
  local pings=0 n end=$((SECONDS + 8))
  while ((SECONDS < end)); do five a 10.1.0.1 10.2.0.1 56; pings=$((pings + 5)); sleep 0.02; done
  n=$(grep -c 'Child SA up: net' "$lab/a.log")
  ((n >= 3)) || die "$n Child SAs in 8 seconds"
  logged a 'Child SA expiring: net: Time' && logged a 'Child SA down: net: replaced by a rekey' || die 'no Child SA gave way'
  echo "  $pings pings over $n Child SAs, none lost"
  finish
}
comes_back() { # what failed is tried again, with a longer pause each time, and succeeds when the reason is gone
  begin 'a wrong secret, put right later' '' 's/a secret for/another secret for/'
  want a 'IKE SA down: b: .*AUTHENTICATION_FAILED.*; again in 1s'
  want b 'IKE SA down: a: authentication failed: .* are both sides.* secrets the same'
  want a 'IKE SA down: b: .*; again in 2s'
  kill -INT "$pid_b"; wait "$pid_b" || die "b left with $?"
  start b gateway-b.toml
  want a 'Child SA up: net'; want b 'Child SA up: net'
  pings a 10.1.0.1 10.2.0.1
  finish
}

wires
run 'raw ESP' '' 10.1.0.1 10.2.0.1 'raw ESP'
run 'ESP in UDP' 's/^local_id/force_encapsulation = true\n&/' 10.1.0.1 10.2.0.1 'ESP in UDP'
run 'AES-CBC with HMAC, P-256' 's/^ike = .*/ike = "aes256-sha256-ecp256"/; s/^esp = .*/esp = "aes256-sha256"/' 10.1.0.1 10.2.0.1 'AES_CBC-256'
run 'IPv6 in IPv6' 's/10\.9\.0\./fd09::/; s/"10\.([12])\.0\.0\/24"/"fd0\1::\/64"/' fd01::1 fd02::1 'raw ESP'
run 'IPv6 in IPv4, in UDP' 's/^local_id/force_encapsulation = true\n&/; s/"10\.([12])\.0\.0\/24"/"fd0\1::\/64"/' fd01::1 fd02::1 'ESP in UDP'
replaced
comes_back
echo 'all passed'
