#!/bin/sh
# Makes the keys and certificates of this folder with OpenSSL 3. They are for tests alone; every run makes others.
set -eu
cd "$(dirname "$0")"

openssl genrsa -out rsa2048.pem 2048
openssl genrsa -3 -out rsa2048-e3.pem 2048
openssl genrsa -out rsa1024.pem 1024
openssl rsa -in rsa2048.pem -traditional -out rsa2048-pkcs1.pem
for bits in 256 384; do
    openssl ecparam -name "secp${bits}r1" -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "p$bits.pem" 2>/dev/null ||
        openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "p$bits.pem"
done
openssl ecparam -name secp521r1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out p521.pem
# As `openssl ecparam -genkey` writes it: the parameters in a block of their own before the key.
openssl ecparam -name prime256v1 -genkey -out p256-sec1.pem
openssl ecparam -name secp256k1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out secp256k1.pem
for type in ed25519 ed448 x25519; do
    openssl genpkey -algorithm "$type" -out "$type.pem"
done
openssl genpkey -algorithm RSA-PSS -pkeyopt rsa_keygen_bits:2048 -out rsapss2048.pem
openssl pkcs8 -topk8 -in ed25519.pem -passout pass:secret -out ed25519-encrypted.pem
for key in rsa2048 rsa1024 p256 p384 p521 ed25519 ed448; do
    openssl req -x509 -new -key "$key.pem" -subj "/CN=$key.example" -days 36500 -out "$key-cert.pem"
done
for key in rsa2048 rsa2048-e3 rsa1024 p256 p384 p521 secp256k1 ed25519 ed448 x25519 rsapss2048; do
    openssl pkey -in "$key.pem" -pubout -out "$key-public.pem"
done
