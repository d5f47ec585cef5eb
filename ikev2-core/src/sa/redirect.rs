//! Redirects to another gateway (RFC 5685): in IKE_SA_INIT (§3), in IKE_AUTH (§6), and later (§5).

use super::context::Context;
use super::reauthenticate::SentOn;
use super::{Closing, IkeSa, Stage, Task};
use crate::contents::Contents;
use crate::error::Failure;
use crate::event::{DownReason, Event, Role};
use crate::redirect::{Gateway, RedirectCourse, Redirected};
use alloc::boxed::Box;
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
        let before = self.authentication.sent_on.as_ref().map(|sent| &sent.counted);
        Redirected::next(before.or(self.redirected.as_deref()), self.path.remote_ip(), now, &policy)
    }

    fn redirect_reason(&self, now: Instant, to: Gateway) -> DownReason {
        match self.judge_redirect(now, &to) {
            Err(failure) => DownReason::Failed(Box::new(failure)),
            Ok(_) => DownReason::Redirected(to),
        }
    }

    /// Whether it is followed.
    fn judge_redirect(&self, now: Instant, to: &Gateway) -> Result<Redirected, Failure> {
        let policy = self.connection.redirects.ok_or_else(|| Failure::Redirected(to.clone()))?;
        if !to.is_within_reach(self.path.local_ip()) {
            return Err(Failure::RedirectOutOfReach(to.clone()));
        }
        self.next_redirect(now).ok_or(Failure::TooManyRedirects(policy.most))
    }

    /// Instead of an answer to IKE_SA_INIT; the nonce was ours.
    pub(super) fn on_redirect_in_init(&mut self, context: &mut Context<'_>, to: Gateway) {
        let reason = self.redirect_reason(context.now, to);
        self.close(context, reason);
    }

    /// Instead of a Child SA, by a peer that has proved who it is. It holds the IKE SA for established, which is deleted.
    pub(super) fn on_redirect_in_auth(&mut self, context: &mut Context<'_>, to: Gateway) {
        let reason = self.redirect_reason(context.now, to);
        self.tell_down(context, Some(reason));
        self.stage = Stage::Closing(Closing { reason: None, established: None });
        self.start_closing(context, None, Task::DeleteIke);
    }

    /// While the IKE SA lives, by whatever generation of it. Only who answered at first may redirect who began (§10).
    /// The newest redirect counts, also where another IKE SA is on its way already.
    pub(super) fn on_redirect_in_session(&mut self, context: &mut Context<'_>, to: Gateway) {
        if self.origin != Role::Initiator || !self.is_established() {
            return;
        }
        let course = match (self.judge_redirect(context.now, &to), &to) {
            (Err(failure), _) => RedirectCourse::Refused(Box::new(failure)),
            (Ok(_), Gateway::Name(_)) => RedirectCourse::Named,
            (Ok(counted), Gateway::Address(to)) => {
                self.authentication.renewing = true;
                self.authentication.sent_on = Some(Box::new(SentOn { to: *to, counted }));
                RedirectCourse::Followed
            }
        };
        context.event(Event::IkeSaRedirected { sa: self.handle, to, course });
    }
}
