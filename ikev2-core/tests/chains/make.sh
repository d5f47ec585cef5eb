#!/bin/bash
# make.sh: makes the certificates of the tests anew, into the folder that it stands in. Their dates are fixed; keys and
# signatures are new each time. Needs OpenSSL 3.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -f ./*.der ./*.key ./*.crl

conf() {
  cat <<CONF
[ca]
default_ca = c
[c]
new_certs_dir = $work
database = $work/$1.db
serial = $work/$1.serial
crlnumber = $work/$1.crlnumber
default_md = default
policy = p
unique_subject = no
email_in_dn = no
copy_extensions = none
[p]
organizationName = optional
organizationalUnitName = optional
commonName = optional
[none]
[x]
CONF
}

key() { # NAME ALGORITHM
  case $2 in
    ed25519) openssl genpkey -quiet -algorithm ed25519 ;;
    rsa) openssl genpkey -quiet -algorithm rsa -pkeyopt rsa_keygen_bits:2048 ;;
    *) openssl genpkey -quiet -algorithm ec -pkeyopt "ec_paramgen_curve:$2" -pkeyopt ec_param_enc:named_curve ;;
  esac >"$work/$1.pem"
}

# cert NAME ISSUER SUBJECT ALGORITHM EXTENSIONS [FROM UNTIL [MORE...]]: EXTENSIONS have | for new lines
cert() {
  local name=$1 issuer=$2 subject=$3 algorithm=$4 extensions=$5 from=${6:-20260101000000Z} until=${7:-20360101000000Z}
  shift $(($# < 7 ? $# : 7))
  [[ -e $work/$name.pem ]] || key "$name" "$algorithm"
  [[ -e $work/$issuer.db ]] || { touch "$work/$issuer.db"; echo "${RANDOM}00" | sed 's/^/1/;s/^\(.\{4\}\).*/\1/' >"$work/$issuer.serial"; echo 01 >"$work/$issuer.crlnumber"; }
  { conf "$issuer"; tr '|' '\n' <<<"$extensions"; } >"$work/conf"
  openssl req -new -key "$work/$name.pem" -subj "$subject" -config "$work/conf" -out "$work/req" 2>/dev/null
  local signer=(-keyfile "$work/$issuer.pem" -cert "$work/$issuer.crt") section=(-extensions x)
  [[ $issuer != "$name" ]] || signer=(-keyfile "$work/$name.pem" -selfsign)
  [[ -n $extensions ]] || section=(-extensions none)
  openssl ca -batch -notext -config "$work/conf" "${signer[@]}" "${section[@]}" -in "$work/req" \
    -startdate "$from" -enddate "$until" -out "$work/$name.crt" "$@" 2>"$work/log" || { cat "$work/log"; exit 1; }
  openssl x509 -in "$work/$name.crt" -outform DER -out "$name.der"
}
keep() { for name; do cp "$work/$name.pem" "$name.key"; done; }

ca='basicConstraints=critical,CA:TRUE|keyUsage=critical,keyCertSign,cRLSign'
leaf='keyUsage=critical,digitalSignature'
san() { echo "$leaf|subjectAltName=$1"; }

# One hierarchy with three intermediates, and one with none.
cert root root '/O=Example/CN=Root' ed25519 "$ca"
cert i1 root '/O=Example/CN=Intermediate 1' ed25519 "$ca"
cert i2 i1 '/O=Example/CN=Intermediate 2' ed25519 "$ca"
cert i3 i2 '/O=Example/CN=Intermediate 3' ed25519 "$ca"
cert a i3 '/O=Example/OU=Gateways/CN=Gateway A' ed25519 "$(san DNS:a.example,email:a@example.org,IP:10.9.0.1,IP:fd09::1)"
cert other other '/O=Other/CN=Root' ed25519 "$ca"
cert b other '/O=Other/CN=Gateway B' ed25519 "$(san DNS:b.example)"
keep a b i3

# What is wrong with the end entity.
cert expired i3 '/CN=expired' ed25519 "$(san DNS:a.example)" 20200101000000Z 20210101000000Z
cert early i3 '/CN=early' ed25519 "$(san DNS:a.example)" 20300101000000Z 20310101000000Z
cert critical i3 '/CN=critical' ed25519 "$(san DNS:a.example)|1.2.3.4=critical,ASN1:NULL"
cert encipherment i3 '/CN=encipherment' ed25519 'keyUsage=critical,keyEncipherment|subjectAltName=DNS:a.example'
cert repudiation i3 '/CN=repudiation' ed25519 'keyUsage=critical,nonRepudiation|subjectAltName=DNS:a.example'
cert server i3 '/CN=server' ed25519 "$(san DNS:a.example)|extendedKeyUsage=serverAuth"
cert ike i3 '/CN=ike' ed25519 "$(san DNS:a.example)|extendedKeyUsage=serverAuth,1.3.6.1.5.5.7.3.17"
cert any i3 '/CN=any' ed25519 "$(san DNS:a.example)|extendedKeyUsage=anyExtendedKeyUsage"
cert bare i3 '/CN=bare' ed25519 'subjectAltName=DNS:a.example'
cert nameless i3 '/' ed25519 "$leaf|subjectAltName=critical,DNS:a.example"
cert wildcard i3 '/CN=wildcard' ed25519 "$(san 'DNS:*.example')"
cert common i3 '/CN=a.example' ed25519 "$leaf"
cert old i3 '/CN=old' ed25519 ''
cert fetching fetching '/CN=fetching' ed25519 "$(san DNS:a.example)|crlDistributionPoints=URI:http://a.test/1,URI:http://a.test/2|authorityInfoAccess=OCSP;URI:http://a.test/ocsp"
keep encipherment expired fetching

# What is wrong with an authority.
below() { # NAME EXTENSIONS [FROM UNTIL]: an authority, and an end entity of it
  cert "$1-ca" root "/O=Example/CN=$1 authority" ed25519 "$2" "${@:3}"
  cert "$1" "$1-ca" "/CN=$1" ed25519 "$(san "${san:-DNS:a.example}")"
}
below expired-issuer "$ca" 20200101000000Z 20210101000000Z
below no-ca 'basicConstraints=critical,CA:FALSE|keyUsage=critical,keyCertSign'
below no-constraints 'keyUsage=critical,keyCertSign'
below no-cert-sign 'basicConstraints=critical,CA:TRUE|keyUsage=critical,cRLSign'
below issuer-server "$ca|extendedKeyUsage=serverAuth"
below issuer-critical "$ca|1.2.3.4=critical,ASN1:NULL"
san=DNS:a.example below excluded "$ca|nameConstraints=critical,@nc|[nc]|excluded.DNS.0=a.example"
san=DNS:a.example below permitted "$ca|nameConstraints=critical,@nc|[nc]|permitted.DNS.0=a.example"
san=DNS:a.example below not-permitted "$ca|nameConstraints=critical,@nc|[nc]|permitted.DNS.0=b.example"
san=email:a@example.org below mail-permitted "$ca|nameConstraints=critical,@nc|[nc]|permitted.email.0=example.org"
san=DNS:a.example below directory "$ca|nameConstraints=critical,@nc|[nc]|permitted.dirName.0=dn|[dn]|O=Example"

# Authorities below one that allows none.
cert short root '/O=Example/CN=Short' ed25519 'basicConstraints=critical,CA:TRUE,pathlen:0|keyUsage=critical,keyCertSign'
cert below-short short '/O=Example/CN=Below short' ed25519 "$ca"
cert too-deep below-short '/CN=too deep' ed25519 "$(san DNS:a.example)"

# Seven intermediates.
last=root
for n in 1 2 3 4 5 6 7; do
  cert "long$n" "$last" "/O=Example/CN=Long $n" ed25519 "$ca"
  last=long$n
done
cert long "$last" '/CN=long' ed25519 "$(san DNS:a.example)"
cert five long5 '/CN=five' ed25519 "$(san DNS:a.example)"

# Two authorities that issued each other's certificates.
key loop1 ed25519; key loop2 ed25519
cert loop1 loop1 '/CN=Loop 1' ed25519 "$ca"
cert loop2 loop1 '/CN=Loop 2' ed25519 "$ca"
cert loop1 loop2 '/CN=Loop 1' ed25519 "$ca"
cert looping loop1 '/CN=looping' ed25519 "$(san DNS:a.example)"

# Authorities of one name with keys of their own.
for n in 1 2 3 4 5; do cert "same$n" root '/O=Example/CN=Same' ed25519 "$ca"; done
cert of-same4 same4 '/CN=of same' ed25519 "$(san DNS:a.example)"

# Each way to sign, by an authority of its own below the root.
for algorithm in rsa P-256 P-384 P-521; do
  cert "$algorithm-ca" root "/O=Example/CN=$algorithm authority" "$algorithm" "$ca"
done
cert rsa-sha256 rsa-ca '/CN=rsa' rsa "$(san DNS:a.example)" 20260101000000Z 20360101000000Z -md sha256
cert rsa-pss rsa-ca '/CN=rsa pss' rsa "$(san DNS:a.example)" 20260101000000Z 20360101000000Z -md sha384 \
  -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1
cert rsa-sha1 rsa-ca '/CN=sha1' ed25519 "$(san DNS:a.example)" 20260101000000Z 20360101000000Z -md sha1
cert rsa-md5 rsa-ca '/CN=md5' ed25519 "$(san DNS:a.example)" 20260101000000Z 20360101000000Z -md md5
cert P-256 P-256-ca '/CN=P-256' P-256 "$(san DNS:a.example)" 20260101000000Z 20360101000000Z -md sha256
cert P-384 P-384-ca '/CN=P-384' P-384 "$(san DNS:a.example)" 20260101000000Z 20360101000000Z -md sha384
cert P-521 P-521-ca '/CN=P-521' P-521 "$(san DNS:a.example)" 20260101000000Z 20360101000000Z -md sha512
keep rsa-sha256 rsa-pss P-256 P-384 P-521

# Revocation: a list of the third intermediate's with one entry, and one that is out of date.
cert revoked i3 '/CN=revoked' ed25519 "$(san DNS:a.example)"
conf i3 >"$work/conf"
crl() { openssl ca -gencrl -config "$work/conf" -keyfile "$work/$1.pem" -cert "$work/$1.crt" -crl_lastupdate "$3" -crl_nextupdate "$4" 2>/dev/null | openssl crl -outform DER -out "$2.crl"; }
openssl ca -config "$work/conf" -keyfile "$work/i3.pem" -cert "$work/i3.crt" -revoke "$work/revoked.crt" 2>/dev/null
crl i3 i3 20260101000000Z 20360101000000Z
crl i3 i3-outdated 20260101000000Z 20260201000000Z
for issuer in i2 i1 root; do
  conf "$issuer" >"$work/conf"
  crl "$issuer" "$issuer" 20260101000000Z 20360101000000Z
done
