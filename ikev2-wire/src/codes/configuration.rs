//! What Configuration and Traffic Selector payloads are made of (RFC 7296 §3.13, §3.15 and the extensions
//! named at each constant).

use ipsec_types::code_points;

code_points! {
    /// What a Configuration payload is for (RFC 7296 §3.15); 128 to 255 are for private use.
    pub struct CfgType(u8) {
        /// Asks for values; an attribute with a value is a wish.
        REQUEST = 1, "CFG_REQUEST";
        /// Answers a request.
        REPLY = 2, "CFG_REPLY";
        /// Pushes values.
        SET = 3, "CFG_SET";
        /// Accepts pushed values.
        ACK = 4, "CFG_ACK";
    }
}

code_points! {
    /// The type of a configuration attribute, 15 bits (RFC 7296 §3.15.1); 16384 to 32767 are for private use.
    pub struct CfgAttribute(u16) {
        /// An address on the internal network: 0 or 4 octets.
        INTERNAL_IP4_ADDRESS = 1, "INTERNAL_IP4_ADDRESS";
        /// That network's mask: 0 or 4 octets.
        INTERNAL_IP4_NETMASK = 2, "INTERNAL_IP4_NETMASK";
        /// A DNS server: 0 or 4 octets.
        INTERNAL_IP4_DNS = 3, "INTERNAL_IP4_DNS";
        /// A NetBIOS name server: 0 or 4 octets.
        INTERNAL_IP4_NBNS = 4, "INTERNAL_IP4_NBNS";
        /// A DHCP server: 0 or 4 octets.
        INTERNAL_IP4_DHCP = 6, "INTERNAL_IP4_DHCP";
        /// The version of the peer's software, ASCII.
        APPLICATION_VERSION = 7, "APPLICATION_VERSION";
        /// An address and its prefix length: 0 or 17 octets.
        INTERNAL_IP6_ADDRESS = 8, "INTERNAL_IP6_ADDRESS";
        /// A DNS server: 0 or 16 octets.
        INTERNAL_IP6_DNS = 10, "INTERNAL_IP6_DNS";
        /// A DHCP server: 0 or 16 octets.
        INTERNAL_IP6_DHCP = 12, "INTERNAL_IP6_DHCP";
        /// A subnet behind the gateway, address and mask: 0 or 8 octets.
        INTERNAL_IP4_SUBNET = 13, "INTERNAL_IP4_SUBNET";
        /// Which attributes are understood: two octets each.
        SUPPORTED_ATTRIBUTES = 14, "SUPPORTED_ATTRIBUTES";
        /// A subnet behind the gateway, address and prefix length: 17 octets.
        INTERNAL_IP6_SUBNET = 15, "INTERNAL_IP6_SUBNET";
        /// A Mobile IPv6 home prefix (RFC 5026): 0 or 21 octets.
        MIP6_HOME_PREFIX = 16, "MIP6_HOME_PREFIX";
        /// Link identifiers (RFC 5739): 8 octets or more.
        INTERNAL_IP6_LINK = 17, "INTERNAL_IP6_LINK";
        /// A prefix and its length (RFC 5739): 17 octets.
        INTERNAL_IP6_PREFIX = 18, "INTERNAL_IP6_PREFIX";
        /// Home agent addresses (3GPP TS 24.302): 16 or 20 octets.
        HOME_AGENT_ADDRESS = 19, "HOME_AGENT_ADDRESS";
        /// A P-CSCF server (RFC 7651): 0 or 4 octets.
        P_CSCF_IP4_ADDRESS = 20, "P_CSCF_IP4_ADDRESS";
        /// A P-CSCF server (RFC 7651): 0 or 16 octets.
        P_CSCF_IP6_ADDRESS = 21, "P_CSCF_IP6_ADDRESS";
        /// Keepalive timer (3GPP TS 24.302): 2 octets.
        FTT_KAT = 22, "FTT_KAT";
        /// Outer address and port (3GPP TS 29.139): 0 or 6 octets.
        EXTERNAL_SOURCE_IP4_NAT_INFO = 23, "EXTERNAL_SOURCE_IP4_NAT_INFO";
        /// Seconds between liveness checks (3GPP TS 24.302): 0 or 4 octets.
        TIMEOUT_PERIOD_FOR_LIVENESS_CHECK = 24, "TIMEOUT_PERIOD_FOR_LIVENESS_CHECK";
        /// A domain to resolve inside (RFC 8598).
        INTERNAL_DNS_DOMAIN = 25, "INTERNAL_DNS_DOMAIN";
        /// Its trust anchor (RFC 8598).
        INTERNAL_DNSSEC_TA = 26, "INTERNAL_DNSSEC_TA";
        /// An encrypted DNS resolver (RFC 9464).
        ENCDNS_IP4 = 27, "ENCDNS_IP4";
        /// An encrypted DNS resolver (RFC 9464).
        ENCDNS_IP6 = 28, "ENCDNS_IP6";
        /// Digest of the resolver's certificate (RFC 9464).
        ENCDNS_DIGEST_INFO = 29, "ENCDNS_DIGEST_INFO";
    }
}

code_points! {
    /// The type of a traffic selector (RFC 7296 §3.13.1); 241 to 255 are for private use.
    pub struct TsType(u8) {
        /// A range of IPv4 addresses and of ports: 16 octets.
        IPV4_ADDR_RANGE = 7, "TS_IPV4_ADDR_RANGE";
        /// A range of IPv6 addresses and of ports: 40 octets.
        IPV6_ADDR_RANGE = 8, "TS_IPV6_ADDR_RANGE";
        /// A range of Fibre Channel addresses (RFC 4595).
        FC_ADDR_RANGE = 9, "TS_FC_ADDR_RANGE";
        /// A security label (RFC 9478).
        SECLABEL = 10, "TS_SECLABEL";
    }
}
