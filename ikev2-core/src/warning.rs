//! What in a configuration works and may not be meant.

use crate::config::{Connection, EndpointConfig};
use crate::establish::init::{self, Announced, PASSES_EVERYWHERE};
use crate::redirect::RedirectSupport;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv6Addr};
use ikev2_wire::codes::KeMethod;
use thiserror::Error;

/// Something that works and may not be meant.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ConfigWarning {
    /// IKE_SA_INIT by this method is larger than what passes every path, and it is never fragmented by IKE (RFC 7383
    /// §2.2): it may need fragments of IP, which many networks drop.
    #[error(
        "connection `{connection}`: IKE_SA_INIT by {method} takes {request} octets as request and {answer} as answer, \
         and it is never fragmented; every path takes {PASSES_EVERYWHERE}"
    )]
    InitTooLarge {
        /// The connection's name.
        connection: String,
        /// The key exchange method.
        method: KeMethod,
        /// Octets of the largest request, from UDP's payload on: with the non-ESP marker and the longest cookie (RFC
        /// 7296 §2.6).
        request: usize,
        /// Octets of our largest answer.
        answer: usize,
    },
}

impl EndpointConfig {
    /// What in it works and may not be meant, connection by connection. It takes as long as a few messages of each.
    #[must_use]
    pub fn warnings(&self) -> Vec<ConfigWarning> {
        self.connections.iter().flat_map(|connection| self.warnings_of(connection)).collect()
    }

    fn warnings_of(&self, connection: &Connection) -> Vec<ConfigWarning> {
        let redirects = match connection.redirects {
            None => RedirectSupport::None,
            // The longer of the two that there are.
            Some(_) => RedirectSupport::From(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        };
        let says = Announced {
            fragmentation: connection.fragmentation.is_some(),
            intermediate: connection.intermediate.is_announced(&connection.ike_proposals),
            childless: connection.childless.is_offered(),
        };
        let sizes = init::sizes(self.crypto, &connection.ike_proposals, redirects, says);
        let large = sizes.into_iter().filter(|sizes| sizes.request.max(sizes.answer) > PASSES_EVERYWHERE);
        large
            .map(|sizes| ConfigWarning::InitTooLarge {
                connection: connection.name.clone(),
                method: sizes.method,
                request: sizes.request,
                answer: sizes.answer,
            })
            .collect()
    }
}
