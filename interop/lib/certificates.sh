# certificates.sh: keys and certificates of the sides, made by the folder's openssl into $lab/pki: NAME.key, NAME.pem and NAME.pub of NAME.example,
# all certified by ca.pem.

openssl_() { # openssl, with $lab/pki as its /srv
  mkdir -p "$lab/pki"
  unshare -m bash -c 'mount --bind "$1" "$0/srv"; root=$0; shift; exec chroot "${root:-/}" openssl "$@"' "$root" "$lab/pki" "$@" \
    2>"$lab/openssl.log" || die "openssl $*: $(tail -n 2 "$lab/openssl.log")"
}
certify() { # certify NAME TYPE: ed25519 | ed448 | ecdsa256 | ecdsa384 | ecdsa521 | rsa
  local name=$1 by=(-CA /srv/ca.pem -CAkey /srv/ca.key) ext=subjectAltName=DNS:$1.example key
  case $2 in
    ed25519 | ed448) key=(-algorithm "$2") ;;
    ecdsa*) key=(-algorithm EC -pkeyopt "ec_paramgen_curve:P-${2#ecdsa}") ;;
    rsa) key=(-algorithm RSA -pkeyopt rsa_keygen_bits:2048) ;;
    *) die "no such key: $2" ;;
  esac
  if [[ $name == ca ]]; then by=() ext=basicConstraints=critical,CA:TRUE; else [[ -e $lab/pki/ca.pem ]] || certify ca ecdsa256; fi
  openssl_ genpkey "${key[@]}" -out "/srv/$name.key"
  openssl_ req -x509 -new -key "/srv/$name.key" -out "/srv/$name.pem" -days 30 -subj "/O=Interop/CN=$name.example" -addext "$ext" "${by[@]}"
  openssl_ pkey -in "/srv/$name.key" -pubout -out "/srv/$name.pub"
}

# How keys sign: the type of the key, what strongSwan calls the scheme in its configuration and in its log, and what we do.
declare -A key_of=([ed25519]=ed25519 [ed448]=ed448 [ecdsa256]=ecdsa256 [ecdsa384]=ecdsa384 [ecdsa521]=ecdsa521 [rsa-pkcs1]=rsa [rsa-pss]=rsa)
declare -A sign_by=([ed25519]=ed25519 [ecdsa256]=ecdsa-sha256 [ecdsa384]=ecdsa-sha384 [ecdsa521]=ecdsa-sha512 [rsa-pkcs1]=rsa-pkcs1-sha256 [rsa-pss]=rsa-pss-sha256)
signing() { # signing HOW [key]: both sides sign so; we trust the peer's certificate or its bare key, the peer its authority and finds ours in CERT
  local pinned=$they.pem
  [[ ${2:-} != key ]] || pinned=$they.pub
  certify "$we" "${key_of[$1]}"
  certify "$they" "${key_of[$1]}"
  ours_auth="key = \"pki/$we.key\"
certificates = \"pki/$we.pem\"
trusted = \"pki/$pinned\"
${sign_by[$1]+sign_by = \"${sign_by[$1]}\"}"
  theirs_sign "$1"
}
