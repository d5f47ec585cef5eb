//! Who somebody is and how it is proved: identities, certificates, authentication methods, hashes (RFC 7296
//! §3.5 to §3.8, RFC 7427, RFC 6467).

use ipsec_types::code_points;

code_points! {
    /// The type of an identity (RFC 7296 §3.5); 201 to 255 are for private use.
    pub struct IdType(u8) {
        /// An IPv4 address, four octets.
        IPV4_ADDR = 1, "ID_IPV4_ADDR";
        /// A domain name in ASCII, without terminator.
        FQDN = 2, "ID_FQDN";
        /// A mail address in ASCII, without terminator.
        RFC822_ADDR = 3, "ID_RFC822_ADDR";
        /// An IPv6 address, sixteen octets.
        IPV6_ADDR = 5, "ID_IPV6_ADDR";
        /// The DER encoding of an X.500 distinguished name.
        DER_ASN1_DN = 9, "ID_DER_ASN1_DN";
        /// The DER encoding of an X.509 general name.
        DER_ASN1_GN = 10, "ID_DER_ASN1_GN";
        /// Opaque octets that both ends understand.
        KEY_ID = 11, "ID_KEY_ID";
        /// A Fibre Channel name (RFC 4595).
        FC_NAME = 12, "ID_FC_NAME";
        /// No identity (RFC 7619).
        NULL = 13, "ID_NULL";
    }
}

code_points! {
    /// The encoding of a certificate or of what is akin to one (RFC 7296 §3.6); 201 to 255 are for private use.
    pub struct CertEncoding(u8) {
        /// Not specified anywhere.
        PKCS7_X509 = 1, "PKCS #7 wrapped X.509 certificate";
        /// Not specified anywhere.
        PGP = 2, "PGP Certificate";
        /// Not specified anywhere.
        DNS_SIGNED_KEY = 3, "DNS Signed Key";
        /// A DER X.509 certificate whose key signs (RFC 7296 §3.6).
        X509_SIGNATURE = 4, "X.509 Certificate - Signature";
        /// Not specified anywhere.
        KERBEROS_TOKEN = 6, "Kerberos Token";
        /// A DER X.509 revocation list (RFC 7296 §3.6).
        CRL = 7, "Certificate Revocation List (CRL)";
        /// Not specified anywhere.
        ARL = 8, "Authority Revocation List (ARL)";
        /// Not specified anywhere.
        SPKI = 9, "SPKI Certificate";
        /// Not specified anywhere.
        X509_ATTRIBUTE = 10, "X.509 Certificate - Attribute";
        /// Deprecated in favour of [`CertEncoding::RAW_PUBLIC_KEY`].
        RAW_RSA_KEY = 11, "Raw RSA Key (DEPRECATED)";
        /// A SHA-1 hash and where the certificate lies (RFC 7296 §3.6).
        HASH_AND_URL_X509 = 12, "Hash and URL of X.509 certificate";
        /// A SHA-1 hash and where the bundle lies (RFC 7296 §3.6).
        HASH_AND_URL_BUNDLE = 13, "Hash and URL of X.509 bundle";
        /// OCSP responder hashes or a response (RFC 4806).
        OCSP_CONTENT = 14, "OCSP Content";
        /// A DER SubjectPublicKeyInfo (RFC 7670).
        RAW_PUBLIC_KEY = 15, "Raw Public Key";
    }
}

code_points! {
    /// An authentication method (RFC 7296 §3.8); 201 to 255 are for private use.
    pub struct AuthMethod(u8) {
        /// RSASSA-PKCS1-v1_5 (RFC 7296 §3.8).
        RSA_SIGNATURE = 1, "RSA Digital Signature";
        /// A pre-shared key, or the key from EAP (RFC 7296 §2.15, §2.16).
        SHARED_KEY = 2, "Shared Key Message Integrity Code";
        /// DSS with SHA-1 (RFC 7296 §3.8).
        DSS_SIGNATURE = 3, "DSS Digital Signature";
        /// A raw r and s of 64 octets (RFC 4754).
        ECDSA_SHA256_P256 = 9, "ECDSA with SHA-256 on the P-256 curve";
        /// A raw r and s of 96 octets (RFC 4754).
        ECDSA_SHA384_P384 = 10, "ECDSA with SHA-384 on the P-384 curve";
        /// A raw r and s of 132 octets (RFC 4754).
        ECDSA_SHA512_P521 = 11, "ECDSA with SHA-512 on the P-521 curve";
        /// A password-authenticated key exchange (RFC 6467).
        SECURE_PASSWORD = 12, "Generic Secure Password Authentication Method";
        /// No authentication (RFC 7619).
        NULL = 13, "NULL Authentication";
        /// Any signature, named by its AlgorithmIdentifier (RFC 7427).
        DIGITAL_SIGNATURE = 14, "Digital Signature";
    }
}

code_points! {
    /// A hash algorithm of SIGNATURE_HASH_ALGORITHMS (RFC 7427 §4); 1024 and above are for private use.
    pub struct HashAlgorithm(u16) {
        /// SHA-1; MUST NOT (RFC 8247).
        SHA1 = 1, "SHA1";
        /// SHA2-256.
        SHA2_256 = 2, "SHA2-256";
        /// SHA2-384.
        SHA2_384 = 3, "SHA2-384";
        /// SHA2-512.
        SHA2_512 = 4, "SHA2-512";
        /// The message itself, for EdDSA and its like (RFC 8420).
        IDENTITY = 5, "Identity";
        /// Streebog with 256 bits (RFC 9385).
        STREEBOG_256 = 6, "STREEBOG_256";
        /// Streebog with 512 bits (RFC 9385).
        STREEBOG_512 = 7, "STREEBOG_512";
    }
}

code_points! {
    /// A password method of SECURE_PASSWORD_METHODS (RFC 6467); 1024 and above are for private use.
    pub struct SecurePasswordMethod(u16) {
        /// PACE (RFC 6631).
        PACE = 1, "PACE";
        /// AugPAKE (RFC 6628).
        AUGPAKE = 2, "AugPAKE";
        /// Secure PSK authentication (RFC 6617).
        SECURE_PSK = 3, "Secure PSK Authentication";
    }
}
