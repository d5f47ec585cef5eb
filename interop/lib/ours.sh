# ours.sh: our gateway, and what it says. It runs in its side's namespace as it is, makes its own TUN device there, and logs to $lab/ours.log.
ours_cookies=never ours_auth='' ours_conn='' ours_child='' ours_children='' # when it asks for cookies; in place of its secret; further lines
# of its connection and its child; further children
ours_reconnect=never # when it starts a connection again
ours_trains=false # whether it sends several ESP packets in one call, which the capture would take for one
ours_routes=true # whether it makes the routes to what is behind the peer
ours_listen='' ours_remote='' # all its addresses; `any` where the peer may be anywhere
ours_connections='' # all of them, by `ours_connection`
ours_options='' # further words of its command line
upgrades=0

ours_start() { # with one connection, or those in $ours_connections
  cat >"$lab/ours.toml" <<TOML
cookies = "$ours_cookies"
trains = $ours_trains
${ours_listen:+listen = $ours_listen}

[tun]
mtu = 1400
routes = $ours_routes

${ours_connections:-$(ours_connection t "$we.example" "$theirs_id" "${net[$we]}" "${net[$they]}")}
TOML
  ours_run
}
ours_connection() { # ours_connection NAME OUR_ID ITS_ID OUR_SELECTORS ITS_SELECTORS
  local start=false remote="remote = \"${addr[$they]}\"" own="local = \"${addr[$we]}\""
  [[ $we == a ]] && start=true
  [[ $natted && $we == b || $ours_remote == any ]] && remote=
  [[ $ours_listen ]] && own=
  cat <<TOML
[[connection]]
name = "$1"
start = $start
reconnect = "$ours_reconnect"
$own
$remote
local_id = "$2"
remote_id = "$3"
${ours_auth:-psk = \"$psk_ours\"}
ike = "$ike_ours"
$ours_conn

[[connection.child]]
name = "net"
local = "$4"
remote = "$5"
esp = "$esp_ours"
mode = "$mode"
$ours_child
$ours_children
TOML
}
ours_run() { # with what stands in $lab/ours.toml
  ip netns exec $ns$we "$GATEWAY" --config "$lab/ours.toml" --verbose --keys "$lab/keys" $ours_options >"$lab/ours.log" 2>&1 &
  ours_pid=$!
  wait_for logged ours 'listening on' || die "our gateway does not come up"
}

said_ours() { words ours "$1" | paste -sd/ | sed 's|/Partially|, Partially|'; } # said_ours SUITE: as our lines have it
ours_ike_up() { # ours_ike_up [SUITE]: the IKE SA stands with it, and with what is known about NATs
  local nat='no NAT' at="\\[?${addr[$they]}\\]?:(500|4500)"
  # strongSwan claims a NAT before itself where its ESP is in user space, to get ESP in UDP
  [[ $peer == strongswan && ! ${KERNEL:-} ]] && nat='the peer is behind a NAT'
  if [[ $natted && $we == a ]]; then nat='(we are|both are) behind'; fi
  if [[ $natted && $we == b ]]; then nat='the peer is behind a NAT' at='10.9.0.1:2[0-9]{4}'; fi
  [[ $natted && $we == a ]] && at=10.9.0.2:4500
  want ours "IKE SA up: t, $role, us $we.example, peer $they.example at $at, $(said_ours "${1:-$ike_ours}"), $nat"
}
ours_child_up() { # ours_child_up [SUITE]: the Child SA too; raw ESP with a kernel's ESP, else in UDP;
  # 64-bit sequence numbers with libreswan, which prefers them as we do
  local how='ESP in UDP' numbers='32-bit' local=${net[$we]} remote=${net[$they]}
  local=${local//[/\\[} remote=${remote//[/\\[}
  [[ ${KERNEL:-} ]] && how='raw ESP'
  [[ $peer == libreswan ]] && numbers='Partially Transmitted 64-bit'
  want ours "Child SA up: net, SPIs in [0-9a-f]{8} out [0-9a-f]{8}, $local <-> $remote, $(said_ours "${1:-$esp_ours}"), $numbers Sequential Numbers, $how$([[ $mode == tunnel ]] || echo ", $mode mode")"
}
ours_stop() { # Ctrl-C: it deletes its SAs and leaves with success
  kill -INT "$ours_pid"
  wait "$ours_pid" || die "our gateway left with $?"
  ours_pid=
  want ours 'IKE SA down: t: deleted by us'
}
ours_upgrade() { # another process takes its place, and goes on with all that it had
  kill -USR1 "$ours_pid"
  wait "$ours_pid" || die "our gateway left with $?"
  want ours 'left: [0-9]+ SAs'
  upgrades=$((upgrades + 1))
  mv "$lab/keys" "$lab/keys.$upgrades"; mv "$lab/ours.log" "$lab/ours.log.$upgrades"
  ours_run
  want ours "IKE SA goes on: t, .*, us $we.example, peer $they.example at"
  want ours 'Child SA goes on: net, SPIs in'
  never ours 'does not go on'
  [[ ! -e $lab/state ]] || die 'the state can be taken twice'
}
ours_keys() { # those that the processes before told, too
  local file
  for file in ikev2_decryption_table esp_sa; do cat "$lab"/keys.*/"$file" >>"$lab/keys/$file"; done
}
ours_clean() { # after ours_stop: no packet was dropped on the way in, and no IKE message refused but second answers to what we had to repeat
  want ours 'packets in: [0-9]+, [0-9]+ octets; dropped: none'
  local refused repeats
  read -r refused repeats <<<"$(sed -nE 's/.* IKE datagrams in: .* rejected ([0-9]+); out: .* repeats ([0-9]+)$/\1 \2/p' "$lab/ours.log")"
  ((${refused:-1} <= ${repeats:-0})) || die "our gateway refused ${refused:-no word} messages and repeated ${repeats:-no word}"
}
