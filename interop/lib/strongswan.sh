# strongswan.sh: strongSwan as the peer. KERNEL=1 takes the kernel's ESP, else its own in user space (UDP 4500, tunnel mode only).
theirs_local='auth = psk' theirs_remote='auth = psk' # how it proves who it is, and what it takes of us
theirs_conn='' theirs_child='' theirs_children='' theirs_daemon='' busy='' # further settings of the connection, the child, the daemon; further children
theirs_plugins='' # further plugins
theirs_sections='' # further sections of its configuration
theirs_addresses='' # its addresses, where they are not the one of its side
theirs_connections='' # all of them, by `theirs_connection`

theirs_start() { # with one connection, or those in $theirs_connections
  cat >"$lab/theirs/swanctl.conf" <<CONF
connections { ${theirs_connections:-$(theirs_connection t "$they.example" "$we.example" "${net[$they]}" "${net[$we]}")} }
secrets { ike-1 { secret = "$psk_theirs" } }
$theirs_sections
CONF
  theirs_run
}
theirs_connection() { # theirs_connection NAME ITS_ID OUR_ID ITS_SELECTORS OUR_SELECTORS
  local remote=${addr[$we]}
  [[ $natted && $they == b ]] && remote=%any
  cat <<CONF
$1 { version = 2
  local_addrs = ${theirs_addresses:-${addr[$they]}}
  remote_addrs = $remote
  proposals = $ike_theirs
  $theirs_conn
  local { $theirs_local
    id = fqdn:$2 }
  remote { $theirs_remote
    id = fqdn:$3 }
  children { net {
    local_ts = $4
    remote_ts = $5
    mode = $mode
    esp_proposals = $esp_theirs
    $theirs_child }
  $theirs_children } }
CONF
}
theirs_run() { # with what stands in $lab/theirs/swanctl.conf
  local libipsec=kernel-libipsec
  [[ ${KERNEL:-} ]] && libipsec=
  cat >"$lab/theirs/strongswan.conf" <<CONF
charon-systemd {
  load = random nonce openssl pem pkcs8 constraints kdf hmac sha2 sha1 aes gcm ccm ctr chapoly xcbc cmac curve25519 $libipsec kernel-netlink socket-default vici updown $theirs_plugins
  filelog { stderr { ike_name = yes
    default = 1
    cfg = 2 } }
  plugins { kernel-libipsec { raw_esp = no } }
  # it drops an answer that comes while it still works at what the answer is to ('already processing'), and asks again
  retransmit_timeout = 1
  $theirs_daemon
}
CONF
  daemon /usr/sbin/charon-systemd
  wait_for with_daemon test -S /run/charon.vici || die "strongSwan does not come up"
  with_daemon swanctl --load-all >"$lab/load" 2>&1 || die "strongSwan refuses its configuration: $(cat "$lab/load")"
  [[ -z $busy ]] || half_open
}

theirs_sign() { # theirs_sign HOW: it signs so, and takes the same of us
  local auth=pubkey
  case $1 in
    rsa-pss) auth=rsa/pss-sha256 ;;
    rsa-pkcs1) auth=rsa-sha256 ;;
  esac
  mkdir -p "$lab"/theirs/{private,x509,x509ca}
  cp "$lab/pki/$they.key" "$lab/theirs/private"; cp "$lab/pki/$they.pem" "$lab/theirs/x509"; cp "$lab/pki/ca.pem" "$lab/theirs/x509ca"
  theirs_local="auth = $auth
    certs = $they.pem" theirs_remote="auth = ${auth/#rsa/ike:rsa}"
}

theirs_busy() { # from now on it asks for cookies: one half-open IKE SA is enough
  busy=1 theirs_daemon='cookie_threshold = 1'
}
theirs_initiate() { # theirs_initiate [CHILD [CONNECTION]]
  with_daemon timeout 20 swanctl --initiate --child "${1:-net}" --ike "${2:-t}" >"$lab/initiate" 2>&1 &
  pids+=($!)
}
theirs_delete() { # theirs_delete ike|child|NAME: returns when the answer has come
  case $1 in
    ike) with_daemon timeout 10 swanctl --terminate --ike t ;;
    child) with_daemon timeout 10 swanctl --terminate --child net ;;
    *) with_daemon timeout 10 swanctl --terminate --child "$1" ;;
  esac >"$lab/terminate" 2>&1 || die "strongSwan: delete unanswered: $(tail -n 2 "$lab/terminate")"
}
theirs_rekey() { # theirs_rekey ike|child
  local what=(--ike t); [[ $1 == child ]] && what=(--child net)
  with_daemon timeout 10 swanctl --rekey "${what[@]}" >"$lab/rekey" 2>&1 || die "rekey: $(cat "$lab/rekey")"
}
theirs_restless() { # it looks every second whether we live, and begins again where we do not
  theirs_conn='dpd_delay = 1s' theirs_child='dpd_action = restart' theirs_daemon='retransmit_tries = 2'
}
theirs_sas() { with_daemon swanctl --list-sas; }

theirs_counted() { # its SA carried at least the pings, both ways
  local n
  theirs_sas >"$lab/sas"
  for n in $(sed -nE 's/.* (in|out) .* ([0-9]+) packets.*/\2/p' "$lab/sas"); do
    ((n >= pinged)) || die "strongSwan's SA counts $n packets, not $pinged: $(cat "$lab/sas")"
  done
  [[ ${n:-} ]] || die "strongSwan shows no SA: $(cat "$lab/sas")"
}
theirs_nat_seen() { # the NAT is known, and the SA is bound to what it gave
  if [[ $they == a ]]; then
    want theirs 'local host is behind NAT, sending keep alives'
  else
    want theirs 'remote host is behind NAT'
    theirs_sas >"$lab/sas"
    grep -qE "remote '$we.example' @ 10.9.0.1\[2[0-9]{4}\]" "$lab/sas" || die "not the NAT's port: $(cat "$lab/sas")"
  fi
}
theirs_one() { # one IKE SA and one Child SA are left; what they replaced is remembered for some seconds
  wait_for eval '[[ $(theirs_sas | grep -c "^t: ") == 1 && $(theirs_sas | grep -c "INSTALLED") == 1 ]]' || die "not one tunnel: $(theirs_sas)"
}
theirs_empty() { # nothing is left of the SA
  wait_for eval '[[ -z $(theirs_sas) ]]' || die "strongSwan still has: $(theirs_sas)"
}

declare -A signs_as=([ed25519]=ED25519 [ed448]=ED448 [ecdsa256]=ECDSA_WITH_SHA256_DER [ecdsa384]=ECDSA_WITH_SHA384_DER
  [ecdsa521]=ECDSA_WITH_SHA512_DER [rsa-pkcs1]=RSA_EMSA_PKCS1_SHA2_256 [rsa-pss]=RSA_EMSA_PSS_SHA2_256_SALT_32)

theirs_chosen() { # theirs_chosen IKE|ESP SUITE
  local said; said=$(words strongswan "$2" | paste -sd/)
  [[ $1 == IKE || $2 == *-esn ]] || said+=/NO_EXT_SEQ
  want theirs "selected proposal: $1:$said\$"
}
theirs_ike_chosen() { theirs_chosen IKE "${1:-$ike_theirs}"; } # theirs_ike_chosen [SUITE]
theirs_esp_chosen() { theirs_chosen ESP "${1:-$esp_theirs}"; } # theirs_esp_chosen [SUITE]

# strongSwan's words for what cases look for
declare -A says=(
  [ike-up]='IKE_SA t\[[0-9]+\] established between'
  [child-up]='CHILD_SA net\{[0-9]+\} established with SPIs'
  [auth-ok]="authentication of '$we.example' with pre-shared key successful"
  [gets-cookie]='parsed IKE_SA_INIT request 0 \[ N\(COOKIE\) SA KE No'
  [brings-cookie]='generating IKE_SA_INIT request 0 \[ N\(COOKIE\) SA KE No'
  [refuses-ke]='key exchange method CURVE_25519 unacceptable, requesting ECP_256'
  [ke-refused]="peer didn't accept key exchange method CURVE_25519, it requested ECP_256"
  [chose-none]='generating IKE_SA_INIT response 0 \[ N\(NO_PROP\) \]'
  [got-none]='received NO_PROPOSAL_CHOSEN notify error'
  [bad-auth]='but MAC mismatched'
  [auth-refused]='received AUTHENTICATION_FAILED notify error'
  [reassembled]='received fragment #[0-9]+ of [0-9]+, reassembled fragmented IKE message'
  [begins-delete]='generating INFORMATIONAL request [0-9]+ \[ D \]'
  [crossing-rekey]='detected rekey collision for CHILD_SA net'
  [initial-contact]="destroying duplicate IKE_SA for peer '$we.example', received INITIAL_CONTACT"
  [gives-up]='giving up after 2 retransmits'
  [our-delete-ike]='received DELETE for IKE_SA t'
  [ike-gone]='IKE_SA deleted'
  [our-delete-child]='received DELETE for ESP CHILD_SA'
)
