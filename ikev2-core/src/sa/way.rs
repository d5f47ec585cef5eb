//! Where an IKE SA runs, and how it moves: with all its Child SAs, in one step (RFC 7296 §2.23, RFC 4555 §3.5).
//!
//! Two things move it. Where the two ends do MOBIKE, they agree about each move; where they do not, an end without a NAT
//! before it follows a peer behind one to wherever its newest authentic message came from.

use super::IkeSa;
use super::context::Context;
use crate::event::{Event, NatStatus, Role};
use crate::exchange::retransmit::RetransmitPolicy;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ipsec_types::{Encapsulation, Path, SaCommand};

impl IkeSa {
    /// By which path our requests go: the one in use, or the one that is to be used as soon as the peer agrees.
    pub(crate) fn way(&self) -> Path {
        self.mobike.as_ref().and_then(|mobike| mobike.heading()).unwrap_or(self.path)
    }

    /// How our requests are repeated: with much patience where the other end looks for a path (RFC 4555 §3.11).
    pub(crate) fn repeats(&self) -> RetransmitPolicy {
        match (&self.mobike, &self.connection.mobike) {
            (Some(_), Some(policy)) if self.origin == Role::Responder => policy.patience,
            _ => self.connection.retransmit,
        }
    }

    /// How ESP is encapsulated, by the NATs on the path.
    pub(crate) fn encapsulation(&self) -> Encapsulation {
        if self.nat.any() { Encapsulation::Udp } else { Encapsulation::None }
    }

    /// An authentic message that is no repeat came from here (§2.4, §2.23).
    ///
    /// With MOBIKE it moves nothing, so that paths can be tried (RFC 4555 §3.8).
    pub(super) fn heard(&mut self, context: &mut Context<'_>, path: Path) {
        self.heard_at = context.now;
        self.ike_heard_at = context.now;
        if self.mobike.is_none() {
            self.follow(context, path);
        }
    }

    /// The peer's newest authentic message or packet came from here.
    ///
    /// A peer behind a NAT may turn up at another address or port. A host behind a NAT itself does not follow, and a
    /// message on the other of the two sockets is answered there and moves nothing.
    pub(crate) fn follow(&mut self, context: &mut Context<'_>, path: Path) {
        let may_move = self.nat.remote && !self.nat.local && self.is_established();
        let agrees = self.mobike.as_ref().is_some_and(|mobike| mobike.heading().is_some());
        if may_move && !agrees && path.kind == self.path.kind && path != self.path {
            self.move_to(context, path, self.nat);
        }
    }

    /// Moves the IKE SA and all Child SAs.
    pub(crate) fn move_to(&mut self, context: &mut Context<'_>, path: Path, nat: NatStatus) {
        if (path, nat) == (self.path, self.nat) {
            return;
        }
        (self.path, self.nat) = (path, nat);
        let encapsulation = self.encapsulation();
        let mut children = Vec::with_capacity(self.children.len());
        for child in &mut self.children {
            let sa = Arc::make_mut(&mut child.sa);
            sa.path = path;
            sa.encapsulation = encapsulation;
            children.push(sa.id);
            context.event(Event::DataPath(SaCommand::Move { id: sa.id, path, encapsulation }));
        }
        context.event(Event::Moved { sa: self.handle, path, nat, children });
    }
}
