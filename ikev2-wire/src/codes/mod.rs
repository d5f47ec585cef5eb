//! The code points of the IKEv2 registry, complete as of 2026-07-16: every exchange, payload, transform,
//! identity, notification and the rest, by their IANA names (RFC 7296 §3 and the extensions named at each
//! constant).
//!
//! Each is an open newtype over its integer: a value that the registry does not name survives a round trip
//! and prints as a number. Transform types 1 and 3 are [`EncrId`] and [`IntegId`], shared with ESP.

mod authentication;
mod configuration;
mod group;
mod notify;
mod transform;

pub use authentication::{AuthMethod, CertEncoding, HashAlgorithm, IdType, SecurePasswordMethod};
pub use configuration::{CfgAttribute, CfgType, TsType};
pub use group::{GroupKeyBagAttribute, GroupPolicyAttribute, GroupSaAttribute, MemberKeyBagAttribute};
pub use ipsec_types::{EncrId, IntegId};
pub use notify::{GatewayIdType, IpcompTransform, NotifyType, PpkIdType, RohcAttribute};
pub use transform::{
    GcAuthId, KeMethod, KeyWrapId, PrfId, SequenceNumbersId, TransformAttribute, TransformName, TransformType,
};

use ipsec_types::code_points;

code_points! {
    /// An exchange type (RFC 7296 §3.1); 240 to 255 are for private use.
    pub struct ExchangeType(u8) {
        /// The first exchange: algorithms, nonces, key exchange (RFC 7296 §1.2); unprotected.
        IKE_SA_INIT = 34, "IKE_SA_INIT";
        /// Authentication and the first Child SA (RFC 7296 §1.2).
        IKE_AUTH = 35, "IKE_AUTH";
        /// A new Child SA, or a rekey (RFC 7296 §1.3).
        CREATE_CHILD_SA = 36, "CREATE_CHILD_SA";
        /// Notifications, deletes, liveness (RFC 7296 §1.4).
        INFORMATIONAL = 37, "INFORMATIONAL";
        /// Resumption of an earlier IKE SA (RFC 5723); unprotected.
        IKE_SESSION_RESUME = 38, "IKE_SESSION_RESUME";
        /// A group member registers and authenticates (RFC 9838).
        GSA_AUTH = 39, "GSA_AUTH";
        /// A group member registers over an existing SA (RFC 9838).
        GSA_REGISTRATION = 40, "GSA_REGISTRATION";
        /// The controller's one-way rekey message (RFC 9838).
        GSA_REKEY = 41, "GSA_REKEY";
        /// The controller's rekey over the registration SA (RFC 9838).
        GSA_INBAND_REKEY = 42, "GSA_INBAND_REKEY";
        /// Exchanges between IKE_SA_INIT and IKE_AUTH (RFC 9242).
        IKE_INTERMEDIATE = 43, "IKE_INTERMEDIATE";
        /// Additional key exchanges after CREATE_CHILD_SA (RFC 9370).
        IKE_FOLLOWUP_KE = 44, "IKE_FOLLOWUP_KE";
    }
}

impl ExchangeType {
    /// Whether the exchange has no keys yet, so that its messages carry no SK payload: IKE_SA_INIT and
    /// IKE_SESSION_RESUME. The messages of every other registered exchange are protected.
    #[must_use]
    pub const fn is_unprotected(self) -> bool {
        matches!(self, Self::IKE_SA_INIT | Self::IKE_SESSION_RESUME)
    }
}

code_points! {
    /// A payload type (RFC 7296 §3.2), named by its notation; 128 to 255 are for private use.
    pub struct PayloadType(u8) {
        /// No Next Payload: the end of the chain (RFC 7296 §3.2).
        NONE = 0, "NONE";
        /// Security Association (RFC 7296 §3.3); SAg in group use (RFC 9838).
        SA = 33, "SA";
        /// Key Exchange (RFC 7296 §3.4).
        KE = 34, "KE";
        /// Identification of the initiator (RFC 7296 §3.5).
        ID_I = 35, "IDi";
        /// Identification of the responder (RFC 7296 §3.5).
        ID_R = 36, "IDr";
        /// Certificate (RFC 7296 §3.6).
        CERT = 37, "CERT";
        /// Certificate Request (RFC 7296 §3.7).
        CERTREQ = 38, "CERTREQ";
        /// Authentication (RFC 7296 §3.8).
        AUTH = 39, "AUTH";
        /// Nonce: Ni or Nr (RFC 7296 §3.9).
        NONCE = 40, "Nonce";
        /// Notify (RFC 7296 §3.10).
        NOTIFY = 41, "N";
        /// Delete (RFC 7296 §3.11).
        DELETE = 42, "D";
        /// Vendor ID (RFC 7296 §3.12).
        VENDOR_ID = 43, "V";
        /// Traffic Selectors of the initiator (RFC 7296 §3.13).
        TS_I = 44, "TSi";
        /// Traffic Selectors of the responder (RFC 7296 §3.13).
        TS_R = 45, "TSr";
        /// Encrypted and Authenticated (RFC 7296 §3.14).
        SK = 46, "SK";
        /// Configuration (RFC 7296 §3.15).
        CP = 47, "CP";
        /// Extensible Authentication (RFC 7296 §3.16).
        EAP = 48, "EAP";
        /// Generic Secure Password Method (RFC 6467).
        GSPM = 49, "GSPM";
        /// Group Identification (RFC 9838).
        ID_G = 50, "IDg";
        /// Group Security Association (RFC 9838).
        GSA = 51, "GSA";
        /// Key Download (RFC 9838).
        KD = 52, "KD";
        /// Encrypted and Authenticated Fragment (RFC 7383 §2.5).
        SKF = 53, "SKF";
        /// Puzzle Solution (RFC 8019).
        PS = 54, "PS";
    }
}

impl PayloadType {
    /// Whether the payload holds encrypted payloads and so ends its chain: SK or SKF.
    #[must_use]
    pub const fn is_protected(self) -> bool {
        matches!(self, Self::SK | Self::SKF)
    }
}

code_points! {
    /// A security protocol (RFC 7296 §3.3.1); 201 to 255 are for private use.
    pub struct ProtocolId(u8) {
        /// No protocol: reserved in proposals, and the value of a Notify payload without an SPI.
        NONE = 0, "NONE";
        /// IKE (RFC 7296).
        IKE = 1, "IKE";
        /// Authentication Header (RFC 4302).
        AH = 2, "AH";
        /// Encapsulating Security Payload (RFC 4303).
        ESP = 3, "ESP";
        /// Fibre Channel ESP_Header (RFC 4595).
        FC_ESP_HEADER = 4, "FC_ESP_HEADER";
        /// Fibre Channel CT_Authentication (RFC 4595).
        FC_CT_AUTHENTICATION = 5, "FC_CT_AUTHENTICATION";
        /// The group controller's rekey SA (RFC 9838).
        GIKE_UPDATE = 6, "GIKE_UPDATE";
    }
}
