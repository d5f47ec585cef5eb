# suites.sh: suites by strongSwan's names, and how each side calls them. One table for all.
# A case's `suite NAME` sets ike_ours, ike_theirs, esp_ours and esp_theirs; NAME is gcm, cbc or IKE/ESP;
# what our gateway wants to be asked for as a weak algorithm has `weak:` before it.
suite() {
  local name=$1
  case $name in
    gcm) name=aes128gcm16-prfsha256-x25519/aes128gcm16 ;;
    cbc) name=aes256-sha256-ecp256/aes256-sha256 ;;
  esac
  ike_ours=${name%/*} esp_ours=${name#*/}
  ike_theirs=${ike_ours//weak:/} esp_theirs=${esp_ours//weak:/}
}

# word NAME: sets kind to what NAME is one of, and ours, strongswan and pluto to what the logs call it, libreswan to its name in a configuration
word() {
  if [[ $1 == ke[1-7]_* ]]; then
    word "${1#*_}"
    kind=addke strongswan=${1%%_*}_$strongswan strongswan=${strongswan/#ke/KE} libreswan=addke${1:2:1}=$libreswan
    return
  fi
  local bits=${1#aes} icv=${1##*m} hash=${1#prf}
  bits=${bits%%[!0-9]*} ours='' strongswan='' pluto='' libreswan=''
  case $1 in
    aes*gcm*) kind=encr ours=ENCR_AES_GCM_$icv-$bits strongswan=AES_GCM_${icv}_$bits libreswan=aes_gcm$bits ;;
    aes*ccm*) kind=encr ours=ENCR_AES_CCM_$icv-$bits strongswan=AES_CCM_${icv}_$bits libreswan=aes_ccm$bits ;;
    aes*ctr) kind=encr ours=ENCR_AES_CTR-$bits strongswan=AES_CTR_$bits libreswan=aes_ctr$bits ;;
    aes*gmac) kind=encr ours=ENCR_NULL_AUTH_AES_GMAC-$bits strongswan=NULL_AES_GMAC_$bits ;;
    chacha20poly1305) kind=encr ours=ENCR_CHACHA20_POLY1305 strongswan=CHACHA20_POLY1305 libreswan=chacha20_poly1305 ;;
    null) kind=encr ours=ENCR_NULL strongswan=NULL libreswan=null ;;
    aesxcbc) kind=integ ours=AUTH_AES_XCBC_96 strongswan=AES_XCBC_96 libreswan=aes_xcbc ;;
    aescmac) kind=integ ours=AUTH_AES_CMAC_96 strongswan=AES_CMAC_96 libreswan=aes_cmac ;;
    sha1) kind=integ ours=AUTH_HMAC_SHA1_96 strongswan=HMAC_SHA1_96 libreswan=sha1 ;;
    sha256) kind=integ ours=AUTH_HMAC_SHA2_256_128 strongswan=HMAC_SHA2_256_128 libreswan=sha2_256 ;;
    sha384) kind=integ ours=AUTH_HMAC_SHA2_384_192 strongswan=HMAC_SHA2_384_192 libreswan=sha2_384 ;;
    sha512) kind=integ ours=AUTH_HMAC_SHA2_512_256 strongswan=HMAC_SHA2_512_256 libreswan=sha2_512 ;;
    prfaes*) kind=prf ours=PRF_AES128_${hash#aes} ours=${ours^^} strongswan=${ours^^} libreswan=$hash pluto=${ours#PRF_} ;;
    prfsha1) kind=prf ours=PRF_HMAC_SHA1 strongswan=$ours libreswan=sha1 pluto=HMAC_SHA1 ;;
    prfsha*) kind=prf ours=PRF_HMAC_SHA2_${hash#sha} strongswan=$ours libreswan=sha2_${hash#sha} pluto=HMAC_SHA2_${hash#sha} ;;
    esn) kind=sn ours='Partially Transmitted 64-bit Sequential Numbers' strongswan=EXT_SEQ ;;
    x25519) kind=ke ours=Curve25519 strongswan=CURVE_25519 libreswan=dh31 pluto=DH31 ;;
    ecp256) kind=ke libreswan=dh19 ;;
    ecp384) kind=ke libreswan=dh20 ;;
    ecp521) kind=ke libreswan=dh21 ;;
    modp2048) kind=ke libreswan=dh14 ;;
    modp3072) kind=ke libreswan=dh15 ;;
    modp4096) kind=ke libreswan=dh16 ;;
    mlkem*) kind=ke ours=ml-kem-${1#mlkem} strongswan=ML_KEM_${1#mlkem} ;;
    aes*) kind=encr ours=ENCR_AES_CBC-$bits strongswan=AES_CBC_$bits libreswan=aes$bits ;;
    *) die "no word for $1" ;;
  esac
  case $1 in
    ecp*) ours="${1#ecp}-bit random ECP group" strongswan=ECP_${1#ecp} ;;
    modp*) ours="${1#modp}-bit MODP Group" strongswan=MODP_${1#modp} ;;
  esac
  [[ $kind != ke ]] || pluto=${libreswan^^}
  : "${pluto:=$strongswan}"
}

# words WHOSE SUITE: the words of ours, strongswan, pluto or libreswan for it, a line each: cipher, integrity, PRF, key exchange.
# An IKE suite without a PRF takes that of its integrity.
words() {
  local token kind ours strongswan libreswan pluto prf='' integ=''
  for token in ${2//-/ }; do
    token=${token#weak:}
    word "$token"
    case $kind in
      integ) integ=$token ;;
      prf) prf=1 ;;
      ke) [[ $prf || $1 == libreswan ]] || { word "prf$integ"; echo "${!1}"; prf=1; word "$token"; } ;;
    esac
    echo "${!1}"
  done
}
