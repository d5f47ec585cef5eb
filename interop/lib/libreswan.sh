# libreswan.sh: libreswan (pluto) as the peer. It has no ESP of its own: without KERNEL=1 a case ends with IKE_AUTH, whose answer
# then has TEMPORARY_FAILURE in the Child SA's place.
theirs_conn='' theirs_setup='' # further lines of the conn and of config setup, one a line

libreswan_suite() { words libreswan "$1" | paste -sd- | sed 's/-dh/+dh/2g; s/-dh/;dh/'; } # libreswan_suite SUITE: in a configuration
theirs_ike_chosen() { # theirs_ike_chosen [SUITE]
  local said integ=n/a; mapfile -t said <<<"$(words pluto "${1:-$ike_theirs}")"
  [[ ${#said[@]} == 3 ]] || integ=${said[1]}
  want theirs "cipher=${said[0]} integ=$integ prf=${said[-2]} group=${said[-1]}"
}
theirs_esp_chosen() { # theirs_esp_chosen [SUITE]
  local said; mapfile -t said <<<"$(words pluto "${1:-$esp_theirs}")"
  want theirs "xfrm=${said[0]}-${said[1]:-NONE}"
}
whack() { with_daemon timeout 20 ipsec whack --ctlsocket /run/pluto/pluto.ctl "$@"; }

theirs_start() {
  local right=${addr[$we]} ike esp
  [[ $natted && $they == b ]] && right=%any
  ike=$(libreswan_suite "$ike_theirs") || die "$ike"
  esp=$(libreswan_suite "$esp_theirs") || die "$esp"
  cat >"$lab/theirs/ipsec.conf" <<CONF
config setup
	nssdir=/srv/nss
	secretsfile=/srv/ipsec.secrets
	plutodebug=none
$(sed '/./s/^/\t/' <<<"$theirs_setup")
conn t
	keyexchange=ikev2
	left=${addr[$they]}
	leftid=@$theirs_id
	leftsubnet=${net[$they]%[*}
	right=$right
	rightid=@$we.example
	rightsubnet=${net[$we]%[*}
	type=$mode
	authby=secret
	ike=$ike
	esp=$esp
	ppk=no
	initial-contact=yes
	auto=ignore
$(sed '/./s/^/\t/' <<<"$theirs_conn")
CONF
  printf '@%s @%s : PSK "%s"\n' "$we.example" "$theirs_id" "$psk_theirs" >"$lab/theirs/ipsec.secrets"
  chmod 600 "$lab/theirs/ipsec.secrets"; mkdir -p "$lab/theirs/nss"
  [[ -e $lab/theirs/nss/cert9.db ]] || unshare -m bash -c 'mount --bind "$1" "$0/srv"; exec chroot "${0:-/}" ipsec initnss --nssdir /srv/nss' \
    "$root" "$lab/theirs" >"$lab/nss.log" 2>&1 || die "libreswan: no key store: $(cat "$lab/nss.log")"
  daemon /usr/libexec/ipsec/pluto --nofork --stderrlog --config /srv/ipsec.conf --nssdir /srv/nss --secretsfile /srv/ipsec.secrets \
    --rundir /run/pluto
  wait_for with_daemon test -S /run/pluto/pluto.ctl || die "libreswan does not come up"
  wait_for whack --listen || die "libreswan does not listen"
  with_daemon ipsec addconn --config /srv/ipsec.conf --ctlsocket /run/pluto/pluto.ctl t >"$lab/load" 2>&1
  grep -q added "$lab/load" || die "libreswan refuses its configuration: $(cat "$lab/load")"
}

theirs_busy() { theirs_setup=ddos-mode=busy; } # it asks for cookies
theirs_initiate() { whack --name t --initiate --asynchronous >"$lab/initiate" 2>&1; }
theirs_delete() { # theirs_delete ike|child; `want` its words for that the answer has come
  whack --name t --down-$1 --asynchronous >"$lab/terminate" 2>&1
}
theirs_rekey() { whack --name t --rekey-$1 --asynchronous >"$lab/rekey" 2>&1; } # theirs_rekey ike|child
theirs_restless() { # it looks every second whether we live, and begins again where we do not
  theirs_conn=$'dpddelay=1\nretransmit-timeout=3\nretransmit-interval=1000'
}
theirs_counted() { # its SA carried at least the pings, both ways: their octets without the outer header
  local n
  whack --trafficstatus >"$lab/sas" 2>&1
  for n in $(sed -nE 's/.*inBytes=([0-9]+), outBytes=([0-9]+).*/\1 \2/p' "$lab/sas"); do
    ((n >= pinged * 28)) || die "libreswan's SA counts $n octets for $pinged pings: $(cat "$lab/sas")"
  done
  [[ ${n:-} ]] || die "libreswan shows no SA: $(cat "$lab/sas")"
}
theirs_nat_seen() { # the NAT is known, and the SA is bound to what it gave
  if [[ $they == a ]]; then
    want theirs 'sent IKE_AUTH request to 10.9.0.2:UDP/4500'
  else
    want theirs 'processing decrypted IKE_AUTH request from 10.9.0.1:UDP/2[0-9]{4} '
  fi
}
theirs_one() { # one IKE SA and one Child SA are left; of the IKE SAs that INITIAL_CONTACT ended, it takes away the Child SAs alone
  [[ $(grep -c 'N(INITIAL_CONTACT)' "$lab/theirs.log") -gt 1 ]] || wait_for eval '[[ $(whack --showstates | grep -c "established IKE SA") == 1 ]]' ||
    die "not one IKE SA: $(whack --showstates)"
  wait_for eval '[[ $(whack --showstates | grep -c "established Child SA") == 1 ]]' ||
    die "not one tunnel: $(whack --showstates)"
}
theirs_empty() { # nothing is left of the SA; as initiator it tries again at once, in vain
  wait_for eval '! whack --showstates | grep -qi "established"' || die "libreswan still has: $(whack --showstates)"
}

# libreswan's words for what cases look for
declare -A says=(
  [ike-up]='(initiator|responder) established IKE SA'
  [child-up]='(initiator|responder) established Child SA using #1; IPsec tunnel'
  [gets-cookie]='processing IKE_SA_INIT request from .* containing N\(COOKIE\),SA,KE,Ni'
  [brings-cookie]='received anti-DDOS COOKIE response, resending IKE_SA_INIT request with COOKIE payload'
  [refuses-ke]='initiator guessed wrong keying material group \(CURVE25519\); responding with INVALID_KE_PAYLOAD requesting DH19'
  [ke-refused]='INVALID_KE_PAYLOAD response to DH DH31; resending with suggested DH DH19'
  [chose-none]='unencrypted notification NO_PROPOSAL_CHOSEN'
  [got-none]='IKE_SA_INIT response containing NO_PROPOSAL_CHOSEN notification'
  [bad-auth]='authentication failed: computed hash does not match hash received from peer'
  [auth-refused]='authentication request rejected by peer: AUTHENTICATION_FAILED'
  [begins-delete]='sent INFORMATIONAL request to delete IKE SA'
  [initial-contact]='"t" #2: ESP traffic information'
  [gives-up]='[0-9]+ second timeout exceeded after 2 retransmits'
  [our-delete-ike]='deleting IKE SA \(established IKE SA\)'
  [our-delete-child]='ESP traffic information: in='
  [ike-gone]='deleting IKE SA \(established IKE SA\)'
  [auth-ok]="established IKE SA; authenticated peer using authby=secret and ID_FQDN '@$we.example'"
)
