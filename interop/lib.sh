# lib.sh: what the cases share. Sourced with the case's first two words:
#   PEER  strongswan | libreswan
#   ROLE  initiator | responder: what our gateway is
# Side a (10.9.0.1, with 10.1.0.1/32 behind it) initiates, side b (10.9.0.2, with 10.2.0.1/32) responds, each in a network
# namespace of its own, joined by veth; `wires nat` puts a third namespace between them that masquerades a; `wires v6` takes IPv6
# inside and outside: fd09::1 with fd01::1/128, fd09::2 with fd02::1/128.
# A peer runs chrooted into the folder $PEERS, with $lab/theirs as its /srv and a /run of its own; our gateway runs as it is.
# KERNEL=1: the case runs inside the user-mode Linux (see uml/run), where the peer uses the kernel's ESP.
# KEEP=DIR: keep configurations, logs and the capture there.
set -uo pipefail
peer=$1 role=$2
case $peer in strongswan | libreswan) ;; *) echo "no such peer: $peer" >&2; exit 2 ;; esac
case $role in
  initiator) we=a they=b we_n=1 they_n=2 ;;
  responder) we=b they=a we_n=2 they_n=1 ;;
  *) echo "no such role: $role" >&2; exit 2 ;;
esac
interop=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${PEERS-$HOME/peers} root=${root%/}
GATEWAY=${GATEWAY:-$interop/../target/debug/gateway}
theirs_id=$they.example # who libreswan says it is
lab=$(mktemp -d) ns=ike$$ pids=() theirs_pid='' ours_pid='' natted='' pinged=0
declare -A addr=([a]=10.9.0.1 [b]=10.9.0.2) net=([a]=10.1.0.0/24 [b]=10.2.0.0/24) host=([a]=10.1.0.1 [b]=10.2.0.1)
mkdir -p "$lab/theirs"

. "$interop/lib/net.sh"
. "$interop/lib/assert.sh"
. "$interop/lib/tshark.sh"
. "$interop/lib/suites.sh"
. "$interop/lib/$peer.sh"
. "$interop/lib/certificates.sh"
. "$interop/lib/ours.sh"

cleanup() {
  local p
  for p in $ours_pid $theirs_pid "${pids[@]}"; do kill "$p" 2>/dev/null; done
  sleep 0.2
  for p in $ours_pid $theirs_pid "${pids[@]}"; do kill -9 "$p" 2>/dev/null; done
  if [[ ${KEEP:-} ]]; then mkdir -p "$KEEP"; cp -r "$lab"/. "$KEEP"; fi
  for p in a b c d n; do ip netns del "$ns$p" 2>/dev/null; done
  rm -rf "$lab"
}
trap cleanup EXIT

# What both sides are told, before `up`; a case changes what it is about. psk and the suites of either side apart, since a
# case may want them to differ; `suite` sets these, by strongSwan's names.
mode=tunnel
psk_ours=a-shared-secret-of-the-interop-lab psk_theirs=$psk_ours
ike_ours='' ike_theirs='' esp_ours='' esp_theirs=''

up() { # both sides up, the responder first; a starts the negotiation and does not wait for its end
  if [[ $role == initiator ]]; then
    theirs_start; ours_start
  else
    ours_start; theirs_start; theirs_initiate
  fi
}
