//! What an unauthenticated peer may cost (RFC 7296 §2.6, §2.21): answers at a limited rate, and half-open IKE
//! SAs up to a bound.

use core::time::Duration;
use ipsec_types::Instant;

/// How many unprotected error answers may still be sent in the second that runs.
#[derive(Debug, Default)]
pub(crate) struct ErrorBudget {
    second_began: Option<Instant>,
    sent: u32,
}

impl ErrorBudget {
    /// Takes one answer out of the budget, if there is one left.
    pub(crate) fn take(&mut self, now: Instant, per_second: u32) -> bool {
        const SECOND: Duration = Duration::from_secs(1);
        if self.second_began.is_none_or(|began| now.saturating_since(began) >= SECOND) {
            self.second_began = Some(now);
            self.sent = 0;
        }
        let granted = self.sent < per_second;
        if granted {
            self.sent = self.sent.saturating_add(1);
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_full_again_each_second() {
        let mut budget = ErrorBudget::default();
        let at = Instant::from_millis;
        assert!(budget.take(at(0), 2) && budget.take(at(900), 2));
        assert!(!budget.take(at(999), 2));
        assert!(budget.take(at(1_000), 2) && budget.take(at(1_001), 2) && !budget.take(at(1_002), 2));
        assert!(!ErrorBudget::default().take(at(0), 0));
    }
}
