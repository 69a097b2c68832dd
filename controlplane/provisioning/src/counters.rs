//! What was counted, by all threads together.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Failure;

pinhole_admin::counters! {
    /// A counter of provisioning that is no [`Failure`].
    Counter;

    /// Requests for files.
    Requests = "requests",
    /// Trust lists granted.
    TrustLists = "trust_lists",
    /// Configurations granted.
    Configurations = "configurations",
    /// Other files granted.
    OtherFiles = "other_files",
    /// Deliveries that were acknowledged to their end.
    Delivered = "delivered",
    /// Deliveries that no longer counted, or were not begun, since the device was forgotten, fell idle, changed its class
    /// or had its certificate withdrawn meanwhile.
    DeliveriesVoid = "deliveries_void",
    /// Devices enrolled while enrolment was open.
    Enrolled = "enrolled",
    /// Certificates pinned at first use.
    PinnedAtFirstUse = "pinned_at_first_use",
    /// Connections whose certificate was the device's.
    Authenticated = "authenticated",
    /// Devices that registered.
    Registered = "registered",
    /// Devices that fell idle.
    Idle = "idle",
    /// Devices that came during enrolment but never showed a certificate, and were forgotten.
    EnrolmentsLapsed = "enrolments_lapsed",
    /// One-time passwords used.
    PasswordsUsed = "passwords_used",
    /// Certificates issued to devices.
    CertificatesIssued = "certificates_issued",
    /// Issued certificates that devices have deleted.
    CertificatesDeleted = "certificates_deleted",
    /// Enrolments of devices that have a good certificate already.
    NothingToIssue = "nothing_to_issue",
    /// Certificates that phones asked about and that are ours.
    TrustConfirmed = "trust_confirmed",
    /// Certificates that phones asked about and that are not.
    TrustDenied = "trust_denied",
    /// Strangers forgotten to make room for newer ones.
    StrangersForgotten = "strangers_forgotten",
    /// Configurations and files taken from the cache since the upstream server gave none.
    Stale = "stale",
    /// Files found fresh in the cache.
    CacheHits = "cache_hits",
    /// Files stored in the cache.
    CacheStored = "cache_stored",
    /// Files not stored in the cache since too many waited for the disk.
    CacheNotStored = "cache_not_stored",
    /// Files dropped from the cache to make room.
    CacheEvicted = "cache_evicted",
}

/// The counters' values. They never shrink, and any thread may count.
#[derive(Debug)]
pub struct Counters {
    counters: [AtomicU64; Counter::COUNT],
    failures: [AtomicU64; Failure::COUNT],
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            counters: std::array::from_fn(|_| AtomicU64::new(0)),
            failures: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Counters {
    /// Counts one.
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&self, counter: Counter, number: u64) {
        if let Some(value) = self.counters.get(counter as usize) {
            value.fetch_add(number, Ordering::Relaxed);
        }
    }

    /// Counts a failure.
    pub fn fail(&self, failure: Failure) {
        if let Some(value) = self.failures.get(failure as usize) {
            value.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The value of a counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counters.get(counter as usize).map_or(0, |value| value.load(Ordering::Relaxed))
    }

    /// How often something failed so.
    pub fn failures(&self, failure: Failure) -> u64 {
        self.failures.get(failure as usize).map_or(0, |value| value.load(Ordering::Relaxed))
    }

    /// Every counter by name, then every failure.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counters = Counter::ALL.into_iter().map(|counter| (counter.name(), self.get(counter)));
        counters.chain(Failure::ALL.into_iter().map(|failure| (failure.name(), self.failures(failure))))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_counter_has_a_name_of_its_own_and_counts_alone() {
        let counters = Counters::default();
        counters.count(Counter::Requests);
        counters.fail(Failure::PinMismatch);
        counters.fail(Failure::PinMismatch);
        let names: BTreeSet<_> = counters.iter().map(|(name, _)| name).collect();
        assert_eq!(names.len(), Counter::COUNT + Failure::COUNT);
        let counted: Vec<_> = counters.iter().filter(|(_, value)| *value != 0).collect();
        assert_eq!(counted, [("requests", 1), ("pin_mismatch", 2)]);
        for failure in Failure::ALL {
            assert_eq!(Failure::named(failure.name()), Some(failure));
            assert!(!failure.meaning().is_empty() && !failure.remedy().is_empty());
            assert_eq!(serde_json::to_string(&failure).unwrap(), format!("\"{}\"", failure.name()));
        }
    }
}
