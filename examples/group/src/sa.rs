//! One SA between a member and the controller, and its stages.

use crate::authenticate::Purpose;
use ikev2_core::IkeSaHandle;
use ikev2_core::endpoint::Association;
use ikev2_core::error::Incomplete;
use ikev2_core::establish::initiator::Initiator;
use ikev2_core::establish::responder::HalfOpen;
use ikev2_core::establish::secrets::{Agreement, Secured};
use ikev2_core::exchange::exchanges::Exchanges;
use ikev2_core::exchange::fragment::Fragmentation;
use ikev2_core::exchange::responses::{RequestDigest, ResponseWindow};
use ikev2_wire::codes::{KeyWrapId, TransformType};
use ipsec_types::{IkeSpi, Instant, Path};

/// A member on its way in: whoever answered IKE_SA_INIT was asked, and one of them may be the controller.
#[derive(Debug)]
pub struct Joining {
    /// IKE_SA_INIT.
    pub initiator: Initiator,
    /// Who answered it.
    pub answerers: Vec<Secured<Purpose>>,
}

/// Where an SA stands.
#[derive(Debug)]
pub enum Stage {
    /// As member: IKE_SA_INIT, then GROUP_AUTH.
    Joining(Box<Joining>),
    /// As controller: waits for GROUP_AUTH, until then.
    HalfOpen(Box<HalfOpen>, Instant),
    /// Both ends are authenticated.
    Up(Box<Exchanges<Purpose>>),
    /// Over; repeats are still answered until then.
    Over(Option<Box<Exchanges<Purpose>>>, Instant),
}

/// One SA.
#[derive(Debug)]
pub struct GroupSa {
    /// Its name at our end.
    pub handle: IkeSaHandle,
    /// The SPI that we chose.
    pub spi: IkeSpi,
    /// Where its messages go.
    pub path: Path,
    /// What is to wrap keys, if IKE_SA_INIT agreed on an algorithm for it.
    pub key_wrap: Option<KeyWrapId>,
    /// Where it stands.
    pub stage: Stage,
}

impl GroupSa {
    /// An SA on its way.
    #[must_use]
    pub fn new(handle: IkeSaHandle, spi: IkeSpi, path: Path, stage: Stage) -> Self {
        Self { handle, spi, path, key_wrap: None, stage }
    }

    /// Both ends are authenticated, by this path.
    pub fn is_up(&mut self, path: Path, agreement: &Agreement, exchanges: Exchanges<Purpose>) {
        self.path = path;
        self.key_wrap = agreement.transform(TransformType::KWA).map(|transform| KeyWrapId(transform.id));
        self.stage = Stage::Up(Box::new(exchanges));
    }

    /// When the first message that is not whole is given up.
    fn reassembly_deadline(&self) -> Option<Instant> {
        let of = |fragmentation: &Fragmentation| fragmentation.reassembly.deadline();
        match &self.stage {
            Stage::Joining(joining) => {
                let answerers = joining.answerers.iter();
                answerers.filter_map(|answerer| of(answerer.exchanges.fragmentation())).min()
            }
            Stage::HalfOpen(half_open, _) => of(half_open.fragmentation()),
            Stage::Up(exchanges) => of(exchanges.fragmentation()),
            Stage::Over(..) => None,
        }
    }

    /// Gives up the messages whose fragments did not come in time.
    pub fn expire_fragments(&mut self, now: Instant) -> Vec<Incomplete> {
        let expire = |fragmentation: &mut Fragmentation| fragmentation.reassembly.expire(now);
        match &mut self.stage {
            Stage::Joining(joining) => {
                let answerers = joining.answerers.iter_mut();
                answerers.flat_map(|answerer| expire(answerer.exchanges.fragmentation_mut())).collect()
            }
            Stage::HalfOpen(half_open, _) => expire(half_open.fragmentation_mut()),
            Stage::Up(exchanges) => expire(exchanges.fragmentation_mut()),
            Stage::Over(..) => Vec::new(),
        }
    }
}

impl Association for GroupSa {
    fn local_spis(&self) -> impl Iterator<Item = IkeSpi> {
        [self.spi].into_iter()
    }

    fn half_open(&self) -> Option<RequestDigest> {
        match &self.stage {
            Stage::HalfOpen(half_open, _) => Some(*half_open.request()),
            _ => None,
        }
    }

    fn half_open_octets(&self) -> usize {
        match &self.stage {
            Stage::HalfOpen(half_open, _) => half_open.kept_octets(),
            _ => 0,
        }
    }

    fn responses(&self) -> Option<&ResponseWindow> {
        match &self.stage {
            Stage::HalfOpen(half_open, _) => Some(half_open.responses()),
            Stage::Up(exchanges) | Stage::Over(Some(exchanges), _) => Some(exchanges.responses()),
            Stage::Joining(_) | Stage::Over(None, _) => None,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let stage = match &self.stage {
            Stage::Joining(joining) => {
                let asked = joining.answerers.iter().map(|answerer| answerer.exchanges.requests().deadline());
                asked.chain([joining.initiator.deadline()]).flatten().min()
            }
            Stage::Up(exchanges) => exchanges.requests().deadline(),
            Stage::HalfOpen(_, until) | Stage::Over(_, until) => Some(*until),
        };
        [stage, self.reassembly_deadline()].into_iter().flatten().min()
    }

    fn is_over(&self, now: Instant) -> bool {
        matches!(self.stage, Stage::Over(_, until) if until <= now)
    }
}
