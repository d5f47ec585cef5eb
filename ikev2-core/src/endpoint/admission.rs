//! Our own decision on requests for new IKE SAs, from the bounds of the configuration (RFC 7296 §2.6, RFC 8019
//! §4.2, §6).

use crate::admission::{Admission, AdmissionFacts};
use crate::config::{CookiePolicy, EndpointConfig};
use crate::error::Bound;
use crate::rate::Bucket;
use ipsec_types::Instant;

/// How many expensive operations IKE_SA_INIT may cost now. The other half of the budget is kept for IKE_AUTH, so
/// that whoever was let in gets through.
pub(super) fn operations_left(config: &EndpointConfig, budget: &Bucket, now: Instant) -> u32 {
    let left = budget.left(now, config.operations_per_second());
    left.saturating_sub(config.operations_per_second() / 2)
}

/// What we would do without a hook.
pub(super) fn decide(config: &EndpointConfig, facts: &AdmissionFacts) -> Admission {
    if !facts.cookie_verified && wants_cookie(config, facts) {
        return Admission::Cookie;
    }
    if facts.operations_left == 0 {
        return Admission::Ignore(Bound::Operations);
    }
    if facts.ike_sas >= config.max_ike_sas {
        return Admission::Ignore(Bound::IkeSas);
    }
    Admission::Accept
}

fn wants_cookie(config: &EndpointConfig, facts: &AdmissionFacts) -> bool {
    match config.cookies {
        CookiePolicy::Never => false,
        CookiePolicy::Always => true,
        CookiePolicy::WhenHalfOpen(threshold) => {
            facts.half_open >= threshold
                || facts.half_open_from_source >= config.cookies_from_source
                || facts.operations_left <= config.operations_per_second() / 4
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ipsec_crypto::rustcrypto::RUSTCRYPTO;
    use ipsec_types::Path;

    fn facts() -> AdmissionFacts {
        AdmissionFacts {
            path: Path::ike("192.0.2.1:500".parse().unwrap(), "192.0.2.2:500".parse().unwrap()),
            cookie_verified: false,
            half_open: 0,
            half_open_from_source: 0,
            ike_sas: 0,
            operations_left: 2_500,
        }
    }

    #[test]
    fn a_cookie_is_asked_for_before_anything_is_refused() {
        let config = EndpointConfig::new(&RUSTCRYPTO);
        let decide = |facts| decide(&config, &facts);
        assert_eq!(decide(facts()), Admission::Accept);
        let busy = [
            AdmissionFacts { half_open: 100, ..facts() },
            AdmissionFacts { half_open_from_source: 5, ..facts() },
            AdmissionFacts { operations_left: 1_250, ..facts() },
            AdmissionFacts { operations_left: 0, ..facts() },
            AdmissionFacts { half_open: 100, ike_sas: 10_000, ..facts() },
        ];
        assert_eq!(busy.map(decide), [Admission::Cookie; 5]);
        let (accept, ignore) = (Admission::Accept, Admission::Ignore);
        let expected = [accept, accept, accept, ignore(Bound::Operations), ignore(Bound::IkeSas)];
        assert_eq!(busy.map(|facts| decide(AdmissionFacts { cookie_verified: true, ..facts })), expected);
        assert_eq!(decide(AdmissionFacts { half_open: 99, half_open_from_source: 4, ..facts() }), accept);
    }

    #[test]
    fn half_of_the_budget_is_kept_for_who_was_let_in() {
        let mut config = EndpointConfig::new(&RUSTCRYPTO);
        config.max_operations_per_second = 10;
        let (mut budget, now) = (Bucket::default(), Instant::from_millis(7));
        for left in (0..=5).rev() {
            assert_eq!(operations_left(&config, &budget, now), left);
            budget.take(now, 10);
        }
        assert_eq!(operations_left(&config, &budget, now), 0);
        assert_eq!(budget.left(now, 10), 4);
    }
}
