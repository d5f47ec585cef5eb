//! Notify message types and the small registries of what is inside some of them (RFC 7296 §3.10.1 and the
//! extensions named at each constant).

use ipsec_types::code_points;

code_points! {
    /// A notify message type (RFC 7296 §3.10.1): errors below 16384, of which those from 8192 on are for private
    /// use, and status types above, of which those from 40960 on are for private use.
    pub struct NotifyType(u16) {
        /// A payload type with the critical bit is unknown; data: that type, one octet.
        UNSUPPORTED_CRITICAL_PAYLOAD = 1, "UNSUPPORTED_CRITICAL_PAYLOAD";
        /// The IKE SPI is unknown.
        INVALID_IKE_SPI = 4, "INVALID_IKE_SPI";
        /// The major version is not spoken; the header carries the highest that is.
        INVALID_MAJOR_VERSION = 5, "INVALID_MAJOR_VERSION";
        /// A type, length or value is out of range.
        INVALID_SYNTAX = 7, "INVALID_SYNTAX";
        /// A Message ID is outside the window; data: the ID, four octets.
        INVALID_MESSAGE_ID = 9, "INVALID_MESSAGE_ID";
        /// An ESP or AH packet had an unknown SPI; data: the SPI.
        INVALID_SPI = 11, "INVALID_SPI";
        /// No proposal is acceptable.
        NO_PROPOSAL_CHOSEN = 14, "NO_PROPOSAL_CHOSEN";
        /// Another key exchange method is wanted; data: the method, two octets.
        INVALID_KE_PAYLOAD = 17, "INVALID_KE_PAYLOAD";
        /// Authentication failed.
        AUTHENTICATION_FAILED = 24, "AUTHENTICATION_FAILED";
        /// Only one pair of addresses is acceptable as selectors.
        SINGLE_PAIR_REQUIRED = 34, "SINGLE_PAIR_REQUIRED";
        /// No more Child SAs on this IKE SA.
        NO_ADDITIONAL_SAS = 35, "NO_ADDITIONAL_SAS";
        /// No internal address can be given.
        INTERNAL_ADDRESS_FAILURE = 36, "INTERNAL_ADDRESS_FAILURE";
        /// A Configuration payload was expected.
        FAILED_CP_REQUIRED = 37, "FAILED_CP_REQUIRED";
        /// No selector is acceptable.
        TS_UNACCEPTABLE = 38, "TS_UNACCEPTABLE";
        /// A packet did not match its SA's selectors; data: the start of the packet.
        INVALID_SELECTORS = 39, "INVALID_SELECTORS";
        /// The addresses are not acceptable (RFC 4555).
        UNACCEPTABLE_ADDRESSES = 40, "UNACCEPTABLE_ADDRESSES";
        /// There is a NAT although none was allowed (RFC 4555).
        UNEXPECTED_NAT_DETECTED = 41, "UNEXPECTED_NAT_DETECTED";
        /// The assigned home address is to be used (RFC 5026).
        USE_ASSIGNED_HOA = 42, "USE_ASSIGNED_HoA";
        /// Not now; to be tried again later.
        TEMPORARY_FAILURE = 43, "TEMPORARY_FAILURE";
        /// The Child SA to be rekeyed does not exist; SPI as in REKEY_SA.
        CHILD_SA_NOT_FOUND = 44, "CHILD_SA_NOT_FOUND";
        /// The group is unknown (RFC 9838).
        INVALID_GROUP_ID = 45, "INVALID_GROUP_ID";
        /// Not authorized for the group (RFC 9838).
        AUTHORIZATION_FAILED = 46, "AUTHORIZATION_FAILED";
        /// The link of a follow-up exchange is unknown (RFC 9370).
        STATE_NOT_FOUND = 47, "STATE_NOT_FOUND";
        /// No further per-resource Child SA (RFC 9611).
        TS_MAX_QUEUE = 48, "TS_MAX_QUEUE";
        /// Registration failed (RFC 9838).
        REGISTRATION_FAILED = 49, "REGISTRATION_FAILED";
        /// This is the only IKE SA between the two identities.
        INITIAL_CONTACT = 16384, "INITIAL_CONTACT";
        /// How many requests the sender serves at once; data: four octets.
        SET_WINDOW_SIZE = 16385, "SET_WINDOW_SIZE";
        /// Narrowed, but other selectors would do too.
        ADDITIONAL_TS_POSSIBLE = 16386, "ADDITIONAL_TS_POSSIBLE";
        /// IPComp is offered; data: CPI, transform, attributes.
        IPCOMP_SUPPORTED = 16387, "IPCOMP_SUPPORTED";
        /// Hash of the sender's address and port; data: 20 octets.
        NAT_DETECTION_SOURCE_IP = 16388, "NAT_DETECTION_SOURCE_IP";
        /// Hash of the receiver's address and port; data: 20 octets.
        NAT_DETECTION_DESTINATION_IP = 16389, "NAT_DETECTION_DESTINATION_IP";
        /// To be returned; data: 1 to 64 octets.
        COOKIE = 16390, "COOKIE";
        /// Transport mode is wanted.
        USE_TRANSPORT_MODE = 16391, "USE_TRANSPORT_MODE";
        /// Hash-and-URL certificates are understood.
        HTTP_CERT_LOOKUP_SUPPORTED = 16392, "HTTP_CERT_LOOKUP_SUPPORTED";
        /// The Child SA to be replaced; SPI: the sender's inbound one.
        REKEY_SA = 16393, "REKEY_SA";
        /// No traffic flow confidentiality padding, please.
        ESP_TFC_PADDING_NOT_SUPPORTED = 16394, "ESP_TFC_PADDING_NOT_SUPPORTED";
        /// Non-first fragments may be carried.
        NON_FIRST_FRAGMENTS_ALSO = 16395, "NON_FIRST_FRAGMENTS_ALSO";
        /// MOBIKE is understood (RFC 4555).
        MOBIKE_SUPPORTED = 16396, "MOBIKE_SUPPORTED";
        /// Another address of the sender; data: 4 octets (RFC 4555).
        ADDITIONAL_IP4_ADDRESS = 16397, "ADDITIONAL_IP4_ADDRESS";
        /// Another address of the sender; data: 16 octets (RFC 4555).
        ADDITIONAL_IP6_ADDRESS = 16398, "ADDITIONAL_IP6_ADDRESS";
        /// The sender has no other addresses (RFC 4555).
        NO_ADDITIONAL_ADDRESSES = 16399, "NO_ADDITIONAL_ADDRESSES";
        /// The SA moves to this message's addresses (RFC 4555).
        UPDATE_SA_ADDRESSES = 16400, "UPDATE_SA_ADDRESSES";
        /// Return routability; data: 8 to 64 octets (RFC 4555).
        COOKIE2 = 16401, "COOKIE2";
        /// Addresses and ports as the sender sees them (RFC 4555).
        NO_NATS_ALLOWED = 16402, "NO_NATS_ALLOWED";
        /// Seconds until reauthentication; data: four octets (RFC 4478).
        AUTH_LIFETIME = 16403, "AUTH_LIFETIME";
        /// Several authentications are understood (RFC 4739).
        MULTIPLE_AUTH_SUPPORTED = 16404, "MULTIPLE_AUTH_SUPPORTED";
        /// Another authentication comes (RFC 4739).
        ANOTHER_AUTH_FOLLOWS = 16405, "ANOTHER_AUTH_FOLLOWS";
        /// Redirection is understood (RFC 5685).
        REDIRECT_SUPPORTED = 16406, "REDIRECT_SUPPORTED";
        /// Go to another gateway; data: its identity (RFC 5685).
        REDIRECT = 16407, "REDIRECT";
        /// The gateway that redirected; data: its identity (RFC 5685).
        REDIRECTED_FROM = 16408, "REDIRECTED_FROM";
        /// Lifetime and ticket (RFC 5723).
        TICKET_LT_OPAQUE = 16409, "TICKET_LT_OPAQUE";
        /// A ticket is wanted (RFC 5723).
        TICKET_REQUEST = 16410, "TICKET_REQUEST";
        /// A ticket will come later (RFC 5723).
        TICKET_ACK = 16411, "TICKET_ACK";
        /// No ticket, or the ticket is refused (RFC 5723).
        TICKET_NACK = 16412, "TICKET_NACK";
        /// The ticket presented (RFC 5723).
        TICKET_OPAQUE = 16413, "TICKET_OPAQUE";
        /// A link identifier (RFC 5739).
        LINK_ID = 16414, "LINK_ID";
        /// Wrapped ESP is wanted (RFC 5840).
        USE_WESP_MODE = 16415, "USE_WESP_MODE";
        /// Header compression; data: ROHC attributes (RFC 5857).
        ROHC_SUPPORTED = 16416, "ROHC_SUPPORTED";
        /// Both ends authenticate by EAP alone (RFC 5998).
        EAP_ONLY_AUTHENTICATION = 16417, "EAP_ONLY_AUTHENTICATION";
        /// IKE_AUTH without a Child SA is understood (RFC 6023).
        CHILDLESS_IKEV2_SUPPORTED = 16418, "CHILDLESS_IKEV2_SUPPORTED";
        /// A crash detection token (RFC 6290).
        QUICK_CRASH_DETECTION = 16419, "QUICK_CRASH_DETECTION";
        /// Message ID synchronization is understood (RFC 6311).
        IKEV2_MESSAGE_ID_SYNC_SUPPORTED = 16420, "IKEV2_MESSAGE_ID_SYNC_SUPPORTED";
        /// Replay counter synchronization is understood (RFC 6311).
        IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED = 16421, "IPSEC_REPLAY_COUNTER_SYNC_SUPPORTED";
        /// The Message IDs to go on with (RFC 6311).
        IKEV2_MESSAGE_ID_SYNC = 16422, "IKEV2_MESSAGE_ID_SYNC";
        /// How far to advance replay counters (RFC 6311).
        IPSEC_REPLAY_COUNTER_SYNC = 16423, "IPSEC_REPLAY_COUNTER_SYNC";
        /// The password methods understood (RFC 6467).
        SECURE_PASSWORD_METHODS = 16424, "SECURE_PASSWORD_METHODS";
        /// PACE: a long-term key will be kept (RFC 6631).
        PSK_PERSIST = 16425, "PSK_PERSIST";
        /// PACE: the long-term key was kept (RFC 6631).
        PSK_CONFIRM = 16426, "PSK_CONFIRM";
        /// EAP reauthentication is understood (RFC 6867).
        ERX_SUPPORTED = 16427, "ERX_SUPPORTED";
        /// IP flow mobility (3GPP TS 24.303).
        IFOM_CAPABILITY = 16428, "IFOM_CAPABILITY";
        /// The group member will send (RFC 9838).
        GROUP_SENDER = 16429, "GROUP_SENDER";
        /// Message fragmentation is understood (RFC 7383).
        IKEV2_FRAGMENTATION_SUPPORTED = 16430, "IKEV2_FRAGMENTATION_SUPPORTED";
        /// Hashes understood in signatures; data: two octets each (RFC 7427).
        SIGNATURE_HASH_ALGORITHMS = 16431, "SIGNATURE_HASH_ALGORITHMS";
        /// Cloning of IKE SAs is understood (RFC 7791).
        CLONE_IKE_SA_SUPPORTED = 16432, "CLONE_IKE_SA_SUPPORTED";
        /// This rekey clones the IKE SA (RFC 7791).
        CLONE_IKE_SA = 16433, "CLONE_IKE_SA";
        /// A puzzle to be solved first (RFC 8019).
        PUZZLE = 16434, "PUZZLE";
        /// Post-quantum preshared keys are understood (RFC 8784).
        USE_PPK = 16435, "USE_PPK";
        /// Which preshared key is used (RFC 8784).
        PPK_IDENTITY = 16436, "PPK_IDENTITY";
        /// AUTH data for a responder without the key (RFC 8784).
        NO_PPK_AUTH = 16437, "NO_PPK_AUTH";
        /// IKE_INTERMEDIATE is understood (RFC 9242).
        INTERMEDIATE_EXCHANGE_SUPPORTED = 16438, "INTERMEDIATE_EXCHANGE_SUPPORTED";
        /// IPv4 internal addresses are given (RFC 8983).
        IP4_ALLOWED = 16439, "IP4_ALLOWED";
        /// IPv6 internal addresses are given (RFC 8983).
        IP6_ALLOWED = 16440, "IP6_ALLOWED";
        /// Links follow-up exchanges to theirs (RFC 9370).
        ADDITIONAL_KEY_EXCHANGE = 16441, "ADDITIONAL_KEY_EXCHANGE";
        /// IP-TFS is wanted (RFC 9347).
        USE_AGGFRAG = 16442, "USE_AGGFRAG";
        /// Authentication methods announced (RFC 9593).
        SUPPORTED_AUTH_METHODS = 16443, "SUPPORTED_AUTH_METHODS";
        /// A per-resource Child SA (RFC 9611).
        SA_RESOURCE_INFO = 16444, "SA_RESOURCE_INFO";
        /// Preshared keys in IKE_INTERMEDIATE are understood (RFC 9867).
        USE_PPK_INT = 16445, "USE_PPK_INT";
        /// A preshared key's identity and its confirmation (RFC 9867).
        PPK_IDENTITY_KEY = 16446, "PPK_IDENTITY_KEY";
        /// AUTH covers both messages (draft-ietf-ipsecme-ikev2-downgrade-prevention).
        IKE_SA_INIT_FULL_TRANSCRIPT_AUTH = 16447, "IKE_SA_INIT_FULL_TRANSCRIPT_AUTH";
    }
}

impl NotifyType {
    /// The first status type; everything below is an error.
    const FIRST_STATUS: u16 = 16_384;

    /// Whether the type reports an error. An unknown one in a response means that the request failed; in a
    /// request it is to be ignored (RFC 7296 §3.10.1).
    #[must_use]
    pub const fn is_error(self) -> bool {
        self.0 < Self::FIRST_STATUS
    }

    /// Whether the type is a status. An unknown one is to be ignored.
    #[must_use]
    pub const fn is_status(self) -> bool {
        !self.is_error()
    }

    /// Whether the type is for private use, so that only a Vendor ID tells what it means.
    #[must_use]
    pub const fn is_private(self) -> bool {
        matches!(self.0, 8_192..=16_383 | 40_960..)
    }
}

code_points! {
    /// A compression algorithm of IPCOMP_SUPPORTED (RFC 7296 §2.22); 241 to 255 are for private use.
    pub struct IpcompTransform(u8) {
        /// Named by an OUI; not specified.
        OUI = 1, "IPCOMP_OUI";
        /// DEFLATE (RFC 2394).
        DEFLATE = 2, "IPCOMP_DEFLATE";
        /// LZS (RFC 2395).
        LZS = 3, "IPCOMP_LZS";
        /// LZJH (RFC 3051).
        LZJH = 4, "IPCOMP_LZJH";
    }
}

code_points! {
    /// The kind of gateway identity in REDIRECT (RFC 5685); 241 to 255 are for private use.
    pub struct GatewayIdType(u8) {
        /// An IPv4 address.
        IPV4 = 1, "IPv4 address of the VPN gateway";
        /// An IPv6 address.
        IPV6 = 2, "IPv6 address of the VPN gateway";
        /// A domain name.
        FQDN = 3, "FQDN of the VPN gateway";
    }
}

code_points! {
    /// An attribute of ROHC_SUPPORTED (RFC 5857), 15 bits; 16384 to 32767 are for private use.
    pub struct RohcAttribute(u16) {
        /// The largest context identifier.
        MAX_CID = 1, "Maximum Context Identifier (MAX_CID)";
        /// A profile understood.
        ROHC_PROFILE = 2, "ROHC Profile (ROHC_PROFILE)";
        /// An integrity algorithm.
        ROHC_INTEG = 3, "ROHC Integrity Algorithm (ROHC_INTEG)";
        /// The length of its ICV.
        ROHC_ICV_LEN = 4, "ROHC ICV Length in bytes (ROHC_ICV_LEN)";
        /// The largest reconstructed unit.
        MRRU = 5, "Maximum Reconstructed Reception Unit (MRRU)";
    }
}

code_points! {
    /// The kind of identifier in PPK_IDENTITY (RFC 8784 §5.1); 128 to 255 are for private use.
    pub struct PpkIdType(u8) {
        /// An identifier that is a pseudonym.
        OPAQUE = 1, "PPK_ID_OPAQUE";
        /// A fixed identifier.
        FIXED = 2, "PPK_ID_FIXED";
    }
}
