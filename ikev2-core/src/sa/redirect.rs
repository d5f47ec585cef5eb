//! Redirects to another gateway (RFC 5685): in IKE_SA_INIT (§3), in IKE_AUTH (§6), and later (§5).

use super::child::ChildAttempt;
use super::context::Context;
use super::{Closing, IkeSa, Stage, Task};
use crate::contents::Contents;
use crate::error::Failure;
use crate::event::{DownReason, Event, Role};
use crate::redirect::{Gateway, Redirected};
use alloc::boxed::Box;
use alloc::sync::Arc;
use ikev2_wire::codes::NotifyType;
use ipsec_types::Instant;

/// To whom a protected message redirects us. There it has no nonce (§9.2).
pub(super) fn gateway(contents: &Contents<'_>) -> Option<Gateway> {
    let redirect = contents.notify(NotifyType::REDIRECT)?.redirect()?;
    redirect.nonce.is_empty().then(|| redirect.gateway.into())
}

impl IkeSa {
    /// What the next IKE SA knows of the redirects that led to it, this one's included; `None` where it is not followed.
    pub(crate) fn next_redirect(&self, now: Instant) -> Option<Redirected> {
        let policy = self.connection.redirects?;
        Redirected::next(self.redirected.as_deref(), self.path.remote_ip(), now, &policy)
    }

    fn redirect_reason(&self, now: Instant, to: Gateway) -> DownReason {
        match (self.connection.redirects, self.next_redirect(now)) {
            (None, _) => DownReason::Failed(Box::new(Failure::Redirected(to))),
            (Some(policy), None) => DownReason::Failed(Box::new(Failure::TooManyRedirects(policy.most))),
            (Some(_), Some(_)) => DownReason::Redirected(to),
        }
    }

    /// Instead of an answer to IKE_SA_INIT; the nonce was ours.
    pub(super) fn on_redirect_in_init(&mut self, context: &mut Context<'_>, to: Gateway) {
        let reason = self.redirect_reason(context.now, to);
        self.close(context, reason);
    }

    /// Instead of a Child SA, by a peer that has proved who it is. It holds the IKE SA for established, which is deleted.
    pub(super) fn on_redirect_in_auth(
        &mut self,
        context: &mut Context<'_>,
        child: &ChildAttempt,
        to: Gateway,
    ) {
        context.release_spi(child.inbound);
        self.opening = Some(Box::new((Arc::clone(&child.config), None)));
        let reason = self.redirect_reason(context.now, to);
        self.tell_down(context, Some(reason));
        self.stage = Stage::Closing(Closing { reason: None, established: None });
        self.start_closing(context, None, Task::DeleteIke);
    }

    /// While the IKE SA lives. Only who answered at first may redirect who began (§10).
    pub(super) fn on_redirect_in_session(&mut self, context: &mut Context<'_>, to: Gateway) {
        if self.origin != Role::Initiator || !self.is_established() || self.authentication.renewing {
            return;
        }
        let reason = self.redirect_reason(context.now, to.clone());
        let follows = matches!((reason, &to), (DownReason::Redirected(_), Gateway::Address(_)));
        self.authentication.renewing = follows;
        context.event(Event::IkeSaRedirected { sa: self.handle, to, follows });
    }
}
