# assert.sh: what a case says must hold. Each failure ends the case with what was looked for, and where.

die() {
  echo "FAILED: $*"
  for l in theirs ours; do
    [[ -s $lab/$l.log ]] && { echo "--- the end of $l.log"; grep -av '^[A-Z][a-z]* [0-9 ]*[0-9:.]*: |' "$lab/$l.log" | tail -n 12; }
  done
  exit 1
}

wait_for() { # wait_for COMMAND...: up to 20 s
  local i
  for i in $(seq 200); do "$@" >/dev/null 2>&1 && return 0; sleep 0.1; done
  return 1
}

logged() { grep -aqE -- "$2" "$lab/$1.log"; }
want() { # want WHO PATTERN: ours or theirs logs it, soon
  wait_for logged "$1" "$2" || die "$1 never logged /$2/"
  grep -aohE -m 1 -- "$2" "$lab/$1.log" | head -n 1 | sed "s/^/$1: /" | cut -c 1-160
}
never() { # never WHO PATTERN
  ! logged "$1" "$2" || die "$1 logged /$2/: $(grep -aE -m 1 -- "$2" "$lab/$1.log")"
}
count() { # count WHO PATTERN N: exactly N lines
  local n; n=$(grep -acE -- "$2" "$lab/$1.log")
  [[ $n == "$3" ]] || die "$1 logged /$2/ $n times, not $3"
}

on_wire() { # on_wire FILTER: how many packets of the capture
  in_ns b tcpdump -n -r - "$1" <"$lab/wire.pcap" 2>/dev/null | wc -l
}
esp_only() { # esp_only [FILTER]: the pings went through the SA: ESP both ways, nothing of the inner networks, or of FILTER, in the clear
  local out back clear esp='(esp or (ip and udp port 4500 and udp[4:2] > 9 and udp[8:4] != 0))'
  sleep 0.1
  out=$(on_wire "$esp and dst host ${addr[b]}") back=$(on_wire "$esp and src host ${addr[b]}")
  clear=$(on_wire 'net 10.1.0.0/16 or net 10.2.0.0/16 or net fd01::/64 or net fd02::/64'"${1:+ or ($1)}")
  ((out >= pinged && back >= pinged)) || die "$pinged pings, but $out and $back ESP packets on the wire"
  ((clear == 0)) || die "$clear packets in the clear"
  echo "on the wire: $out and $back ESP packets, none in the clear"
}
ike_on_wire() { # ike_on_wire FILTER: how many IKE messages of the capture tshark finds by that display filter
  in_ns b tshark -n -r - -Y "isakmp and ($1)" <"$lab/wire.pcap" 2>/dev/null | wc -l
}
want_on_wire() { # want_on_wire N FILTER WHAT: N packets, or N+ for at least so many
  local n; n=$(ike_on_wire "$2")
  ((n >= ${1%+})) && [[ $1 == *+ || $n == "$1" ]] || die "$3: $n on the wire, not $1"
  echo "on the wire: $n $3"
}
decoded() { # tshark agrees with what was on the wire, and opens it with the keys that our gateway wrote
  mkdir -p "$lab/keys"
  tshark_opens "$lab/wire.pcap" "$lab/keys" $((2 * pinged)) || die "tshark does not agree"
}
