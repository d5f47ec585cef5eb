# net.sh: the namespaces, the wire, what runs in them, and pings.

wires() { # wires [nat|v6]
  local s n dev nobody bits=32 six=
  for s in a b; do ip netns add $ns$s; done
  if [[ ${1:-} == nat ]]; then
    natted=1 addr[a]=192.168.77.2
    ip netns add ${ns}n
    ip link add va netns ${ns}a type veth peer name vna netns ${ns}n
    ip link add vnb netns ${ns}n type veth peer name vb netns ${ns}b
    ip -n ${ns}n link set lo up
    ip -n ${ns}n addr add 192.168.77.1/24 dev vna; ip -n ${ns}n link set vna up
    ip -n ${ns}n addr add 10.9.0.1/24 dev vnb; ip -n ${ns}n link set vnb up
    ip netns exec ${ns}n sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward'
    # other ports too, as a NAT of many users gives: nothing may rely on 500 and 4500 behind it
    in_ns n iptables -t nat -A POSTROUTING -o vnb -p udp -j MASQUERADE --to-ports 20000-29999 || die "no NAT"
  else
    if [[ ${1:-} == v6 ]]; then
      bits=128 six=1
      addr=([a]=fd09::1 [b]=fd09::2) net=([a]=fd01::/64 [b]=fd02::/64) host=([a]=fd01::1 [b]=fd02::1)
    fi
    ip link add va netns ${ns}a type veth peer name vb netns ${ns}b
  fi
  for s in a b; do
    n=b dev=v$s nobody=10.9.0.254
    [[ $s == b ]] && n=a
    case ${addr[$s]} in fd*) nobody=fd09::fe ;; 192*) nobody=192.168.77.254 ;; esac
    ip -n $ns$s link set lo up; ip -n $ns$s addr add ${host[$s]}/$bits dev lo
    ip -n $ns$s addr add ${addr[$s]}/$((bits == 128 ? 64 : 24)) dev $dev ${six:+nodad}; ip -n $ns$s link set $dev up
    # what no SA takes goes to a MAC address that nobody has: a ping can't pass in the clear
    ip -n $ns$s neigh add $nobody lladdr 02:00:00:00:00:fe dev $dev nud permanent
    ip -n $ns$s route add ${net[$n]} via $nobody src ${host[$s]} metric 4096
  done
  [[ $natted ]] && ip -n ${ns}a route add 10.9.0.0/24 via 192.168.77.1
  # on our side, since a kernel with ESP shows on its own device what it has decrypted
  in_ns $we tcpdump -Z root --immediate-mode -U -s 0 -w - -i v$we 'ip or ip6' >"$lab/wire.pcap" 2>/dev/null &
  pids+=($!)
  wait_for test -s "$lab/wire.pcap" || die "no capture"
}

further() { # further SIDE N: one more side at our second address, 10.9.N.1 with 10.N.0.1/32 behind it; addr, net and host know it
  local s=$1 n=$2 x
  addr[$s]=10.9.$n.1 net[$s]=10.$n.0.0/24 host[$s]=10.$n.0.1
  ip netns add $ns$s
  ip link add v$s netns $ns$s type veth peer name v$we$s netns $ns$we
  for x in $s $we; do
    local dev=v$s own=1; [[ $x == "$we" ]] && dev=v$we$s own=2
    ip -n $ns$x addr add 10.9.$n.$own/24 dev $dev; ip -n $ns$x link set $dev up
    ip -n $ns$x neigh add 10.9.$n.254 lladdr 02:00:00:00:00:fe dev $dev nud permanent
  done
  ip -n $ns$s link set lo up; ip -n $ns$s addr add ${host[$s]}/32 dev lo
  ip -n $ns$s route add 10.9.0.0/24 via 10.9.$n.2
  ip -n $ns$s route add 10.$we_n.0.0/16 via 10.9.$n.254 src ${host[$s]} metric 4096
  ip -n $ns$we route add ${net[$s]} via 10.9.$n.254 metric 4096
}

in_ns() { # in_ns SIDE COMMAND...: a tool of the folder in that side's namespace
  local s=$1; shift
  ip netns exec "$ns$s" chroot "${root:-/}" "$@"
}

daemon() { # daemon COMMAND...: the peer; its output goes to $lab/theirs.log
  ip netns exec $ns$they unshare -m bash -c '
    r=$0 own=$1; shift
    if [[ $r ]]; then mount --bind /dev "$r/dev"; mount -t proc proc "$r/proc"; fi
    mount -t tmpfs tmpfs "$r/run"; mkdir -p "$r/run/pluto"; mount --bind "$own" "$r/srv"
    export SWANCTL_DIR=/srv STRONGSWAN_CONF=/srv/strongswan.conf
    exec chroot "${r:-/}" "$@"' "$root" "$lab/theirs" "$@" >"$lab/theirs.log" 2>&1 &
  theirs_pid=$!
}

with_daemon() { # with_daemon COMMAND...: where the peer runs
  SWANCTL_DIR=/srv STRONGSWAN_CONF=/srv/strongswan.conf nsenter -t "$theirs_pid" -m -n chroot "${root:-/}" "$@"
}

# pings FROM TOTAL [TO]: that many of mixed sizes between these two of `host`, whose names begin with their side's, with what is not a multiple of a block, what just fits the inner MTU of 1400
# and what is cut into inner fragments; none may be lost
sizes=(0 1 7 8 15 16 17 31 33 56 64 100 255 256 333 500 777 1000 1200 1300 1371 1372 1373 2000 4000)
pings() {
  local to=b each=$(($2 / ${#sizes[@]}))
  [[ $1 == b ]] && to=a
  to=${3:-$to}
  ((each > 0)) || each=1
  # with -w ping waits for as many answers as it was told, however late; those of the first $each requests must be among them
  in_ns "${1:0:1}" bash -c 'from=$0 to=$1 each=$2; shift 2; for size; do echo "size $size"; ping -n -c $each -w 10 -i 0.003 -s $size -I $from $to; done' \
    "${host[$1]}" "${host[$to]}" $each "${sizes[@]}" >"$lab/ping" 2>&1
  awk -v each=$each -v sizes=${#sizes[@]} '
    function ended() { if (size != "" && got != each) { print "of " size " octets: " got " of " each " came back, " lost; faults++ } }
    /^size / { ended(); size = $2; got = 0; seen++ }
    /bytes from .*icmp_seq=/ { n = $0; sub(/.*icmp_seq=/, "", n); n += 0; if (n <= each && !((size, n) in came)) { came[size, n]; got++ } }
    / packets transmitted/ { lost = $0 }
    END { ended(); exit faults || seen != sizes }' "$lab/ping" >"$lab/lost" || die "pings lost: $(cat "$lab/lost")"
  pinged=$((pinged + each * ${#sizes[@]}))
  echo "$((each * ${#sizes[@]})) pings of ${sizes[0]} to ${sizes[-1]} octets, none lost"
}

cut_wire() { # cut_wire [INPUT|OUTPUT]: nothing passes, or nothing that comes to us, or nothing of ours: it goes to a MAC address that nobody has
  local way from=$we to=$they
  for way in ${1:-INPUT OUTPUT}; do
    [[ $way == OUTPUT ]] || from=$they to=$we
    ip -n "$ns$from" neigh replace "${addr[$to]}" lladdr 02:00:00:00:00:fe dev "v$from" nud permanent || die "no cut"
  done
}
mend_wire() { # `cut_wire` is undone
  local s
  for s in "$we:$they" "$they:$we"; do ip -n "$ns${s%:*}" neigh del "${addr[${s#*:}]}" dev "v${s%:*}" || true; done 2>/dev/null
}
flow() { # flow FROM: pings from there every few milliseconds, until flow_ends
  local to=b; [[ $1 == b ]] && to=a
  : >"$lab/flow"
  # no in_ns: its shell would be in the signal's way
  ip netns exec "$ns$1" chroot "${root:-/}" ping -n -i 0.005 -s 120 -I "${host[$1]}" "${host[$to]}" >"$lab/flow" 2>&1 &
  flow_pid=$!
  flow_goes_on
}
flow_goes_on() { # twenty more of its pings are answered
  local past; past=$(grep -c icmp_seq "$lab/flow")
  wait_for eval "(( \$(grep -c icmp_seq '$lab/flow') >= $((past + 20)) ))" || die "the flow of pings does not go on: $(tail -n 2 "$lab/flow")"
}
flow_ends() { # flow_ends [early]: each of them was answered, but for those after the last answer, which may be on their way. early: and but for those whose answers
  # the peer sent by a new SA before it sent the message that tells us of it: as many as we dropped packets of SPIs that were ours a moment later
  local lost early=0 spi
  kill -INT "$flow_pid"; wait "$flow_pid"
  lost=$(awk '
    /bytes from .*icmp_seq=/ { n = $0; sub(/.*icmp_seq=/, "", n); n += 0; came[n] = 1; if (n > last) last = n }
    END { for (n = 1; n < last; n++) if (!(n in came)) print n; if (last < 20) print "all" }' "$lab/flow")
  for spi in $(sed -nE 's/.*ESP packet dropped: SPI ([0-9a-f]+) is not ours/\1/p' "$lab/ours.log"); do
    grep -q "SPIs in $spi out" "$lab/ours.log" && early=$((early + 1))
  done
  if [[ ${1:-} == early && $lost ]] && (($(wc -w <<<"$lost") <= early)); then
    echo "pings whose answers came before the message that tells of their SA: ${lost//$'\n'/ }"
    lost=
  fi
  [[ -z $lost ]] || die "of a flow of pings these were lost: ${lost//$'\n'/ }: $(tail -n 3 "$lab/flow")"
  pinged=$((pinged + $(grep -c 'bytes from .*icmp_seq=' "$lab/flow")))
  echo "a flow of pings: $(grep 'packets transmitted' "$lab/flow")"
}

half_open() { # a good IKE_SA_INIT request from side a of which no more will come: the responder then holds a half-open IKE SA
  local hex
  hex=68616c666f70656e'0000000000000000'21202208'00000000'00000080       # header: SA first, 128 octets
  hex+=22000028'00000024'01010003                                        # SA: one proposal for IKE of three transforms
  hex+=0300000c'01000014800e0080'0300000802000005'0000000804'00001f      # AES-GCM-16-128, PRF_HMAC_SHA2_256, Curve25519
  hex+=28000028'001f0000'$(printf '09%.0s' {1..32})                      # KE
  hex+=00000014$(printf '5a%.0s' {1..16})                                # nonce
  ip netns exec ${ns}a bash -c 'printf "$(sed "s/../\\\\x&/g" <<<"$0")" >/dev/udp/10.9.0.2/500' "$hex"
}
no_ping() { # nothing passes, in either direction
  if in_ns a ping -n -q -c 1 -W 1 -I ${host[a]} ${host[b]} >/dev/null 2>&1; then die "a ping passes where no SA is"; fi
  echo "no ping passes any more"
}
