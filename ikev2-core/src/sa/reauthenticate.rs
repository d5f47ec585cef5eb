//! How long an authentication lasts: ours, after which we authenticate anew, and what a peer is told of it
//! (AUTH_LIFETIME, RFC 4478; RFC 7296 §2.8.3).
//!
//! The original initiator makes another IKE SA in time, which the [endpoint](crate::ike) sees to; the original responder
//! deletes the IKE SA when the time is over. Rekeys change nothing of it.

use super::context::Context;
use super::{IkeSa, Task};
use crate::contents::Contents;
use crate::error::{Failure, MoveError};
use crate::event::{DownReason, Event, IkeSaHandle, Role};
use crate::redirect::Redirected;
use crate::saved::{Restoring, Saving};
use alloc::boxed::Box;
use core::net::IpAddr;
use core::time::Duration;
use ikev2_wire::codes::{ExchangeType, NotifyType};
use ipsec_types::Instant;

/// An IKE SA is this old at least before another takes its place, so that no peer can have us do nothing else (RFC 4478
/// §5).
const LEAST: Duration = Duration::from_secs(10);

/// How long we wait while an exchange is out that the next IKE SA would not know of.
const EXCHANGE: Duration = Duration::from_secs(1);

/// The time that an authentication has, and what follows it.
#[derive(Debug, Default)]
pub(crate) struct Authentication {
    /// As original initiator: when we authenticate anew of our own accord.
    own_at: Option<Instant>,
    /// When we do since the peer wants it.
    asked_at: Option<Instant>,
    /// As original responder: when it is over.
    ends_at: Option<Instant>,
    /// How many attempts to authenticate anew failed in a row.
    failures: u32,
    /// Another IKE SA is on its way to take the place of this one.
    pub renewing: bool,
    /// Where the peer sent us, and the next one is to be.
    pub sent_on: Option<Box<SentOn>>,
    /// The IKE SA whose place this one takes.
    pub predecessor: Option<IkeSaHandle>,
}

/// Where a redirect of an established IKE SA leads (RFC 5685 §5).
#[derive(Clone, Debug)]
pub(crate) struct SentOn {
    pub to: IpAddr,
    /// With this one among them.
    pub counted: Redirected,
}

impl Authentication {
    fn renew_at(&self) -> Option<Instant> {
        if self.renewing {
            return None;
        }
        [self.own_at, self.asked_at].into_iter().flatten().min()
    }

    /// For an IKE SA that moves, and whose place none takes. Handles are of one endpoint.
    pub(super) fn save(&self, w: &mut Saving) {
        let Self { own_at, asked_at, ends_at, failures, renewing: _, sent_on: _, predecessor: _ } = self;
        w.put_times([*own_at, *asked_at, *ends_at]);
        w.put_u32(*failures);
    }

    pub(super) fn restore(r: &mut Restoring<'_>) -> Result<Self, MoveError> {
        let [own_at, asked_at, ends_at] = r.times()?;
        Ok(Self { own_at, asked_at, ends_at, failures: r.u32()?, ..Self::default() })
    }

    /// When it must be looked at next.
    pub(super) fn deadline(&self) -> Option<Instant> {
        [self.renew_at(), self.ends_at].into_iter().flatten().min()
    }
}

impl IkeSa {
    /// Both ends are authenticated, and the time runs.
    pub(super) fn start_authentication_time(&mut self, context: &mut Context<'_>, contents: &Contents<'_>) {
        match self.origin {
            Role::Initiator => {
                let after = self.connection.reauthenticate_after;
                let after = after.map(|after| context.shortened(after).max(LEAST));
                self.authentication.own_at = after.map(|after| context.now + after);
                self.learn_auth_lifetime(context, contents);
            }
            Role::Responder => {
                let lifetime = self.auth_lifetime();
                let ends = lifetime.map(|seconds| context.now + Duration::from_secs(seconds.into()));
                self.authentication.ends_at = ends;
            }
        }
    }

    /// What the original initiator is told, in seconds.
    pub(super) fn auth_lifetime(&self) -> Option<u32> {
        let lifetime = self.connection.authentication_lifetime?;
        Some(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX).max(1))
    }

    /// AUTH_LIFETIME, the newest of which counts (RFC 4478 §2). It is the original responder's to say. A part of the
    /// time is left to the exchanges.
    pub(super) fn learn_auth_lifetime(&mut self, context: &mut Context<'_>, contents: &Contents<'_>) {
        let said = contents.notify(NotifyType::AUTH_LIFETIME).and_then(|notify| notify.auth_lifetime());
        let Some(seconds) = said.filter(|_| self.origin == Role::Initiator) else { return };
        let lifetime = Duration::from_secs(seconds.into());
        let after = context.shortened(lifetime.saturating_sub(lifetime / 10));
        self.authentication.asked_at = Some(self.not_too_soon(context.now + after));
    }

    fn not_too_soon(&self, at: Instant) -> Instant {
        self.established_at.map_or(at, |since| at.max(since + LEAST))
    }

    /// The peer takes no rekey at all: what is left is another IKE SA (RFC 7296 §4).
    pub(super) fn renew_if_not_rekeyed(&mut self, context: &Context<'_>, failure: &Failure) {
        let refused = matches!(failure, Failure::Refused { notify: NotifyType::NO_ADDITIONAL_SAS });
        if refused && self.origin == Role::Initiator && self.is_established() {
            self.authentication.own_at = Some(self.not_too_soon(context.now));
        }
    }

    /// What is due of it.
    pub(super) fn on_authentication_time(&mut self, context: &mut Context<'_>) {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= context.now);
        if due(self.authentication.ends_at) {
            self.authentication.ends_at = None;
            return self.start_closing(context, Some(DownReason::AuthenticationExpired), Task::DeleteIke);
        }
        if !due(self.authentication.renew_at()) {
            return;
        }
        let is_out = |purpose: &super::Purpose| purpose.exchange() == ExchangeType::CREATE_CHILD_SA;
        (self.authentication.own_at, self.authentication.asked_at) = (None, None);
        if self.current.purposes().any(is_out) || self.awaits_rekey() {
            self.authentication.own_at = Some(context.now + EXCHANGE);
        } else {
            self.begin_renewal(context);
        }
    }

    fn begin_renewal(&mut self, context: &mut Context<'_>) {
        self.authentication.renewing = true;
        context.event(Event::IkeSaReauthenticating { sa: self.handle });
    }

    /// The IKE SA that was to take the place of this one came to nothing: another attempt follows, after a pause. Where
    /// the peer sent us and nobody serves us, it is with the peer, which may send us on again.
    pub(crate) fn on_renewal_failed(&mut self, context: &mut Context<'_>) {
        self.authentication.sent_on = None;
        self.renew_later(context);
    }

    /// The same where it could not even be begun: to the same place.
    pub(crate) fn renew_later(&mut self, context: &mut Context<'_>) {
        let Authentication { failures, .. } = self.authentication;
        let failures = failures.saturating_add(1);
        let pause = context.lengthened(self.connection.lifecycle.retry.pause(failures, 0), 500);
        self.authentication.renewing = false;
        self.authentication.failures = failures;
        self.authentication.own_at = Some(context.now + pause);
        self.pump(context);
    }

    /// Another IKE SA has taken the place of this one.
    pub(crate) fn retire(&mut self, context: &mut Context<'_>) {
        if self.is_established() {
            self.start_closing(context, Some(DownReason::Replaced), Task::DeleteIke);
        }
    }

    /// What would change this IKE SA or its Child SAs waits while another takes its place: that would not know of it.
    pub(super) fn is_held(&self, task: &Task) -> bool {
        let changes =
            matches!(task, Task::CreateChild { .. } | Task::RekeyChild { .. } | Task::RekeyIke { .. });
        let follows = match task {
            Task::RekeyIke { .. } => !self.peers_series.is_empty(),
            Task::CreateChild { .. } => self.peer_rekeys_ike(),
            Task::RekeyChild { id, .. } => self.peer_rekeys_ike() || self.peer_rekeys_child(*id),
            Task::DeleteChildren(ids) => {
                ids.iter().any(|id| self.peer_rekeys_child(*id) || self.follows_up(*id))
            }
            _ => false,
        };
        self.authentication.renewing && changes || follows
    }
}
