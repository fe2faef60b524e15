//! How many connections there are, in all and from one address, and what became of those that were not welcome.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::Connections;
use crate::domain::{Network, counted_as};

/// How often at most the log says that connections are refused.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Why there is no place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// `max_connections`.
    Total,
    /// `max_connections_per_address`.
    Address,
}

/// Why the door closed a connection that it had let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closed {
    /// No handshake, or not a byte.
    Opening,
    /// No head of a request in time.
    Head,
    /// No request after the last one.
    Idle,
    /// Nothing was taken of an answer.
    Answer,
}

/// What the door counts, for `/metrics`.
#[derive(Debug, Default)]
pub struct Counts {
    open: AtomicU64,
    refused: [AtomicU64; 2],
    closed: [AtomicU64; 4],
    certificate_expires: AtomicI64,
    certificate_failures: AtomicU64,
}

impl Counts {
    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that found no place, by reason.
    pub fn all_refused(&self) -> [(&'static str, u64); 2] {
        let of = |why: Full| self.refused[why as usize].load(Ordering::Relaxed);
        [("total", of(Full::Total)), ("address", of(Full::Address))]
    }

    /// Connections that were closed, by what did not come in time.
    pub fn all_closed(&self) -> [(&'static str, u64); 4] {
        let of = |why: Closed| self.closed[why as usize].load(Ordering::Relaxed);
        [
            ("opening", of(Closed::Opening)),
            ("head", of(Closed::Head)),
            ("request", of(Closed::Idle)),
            ("reading", of(Closed::Answer)),
        ]
    }

    /// When the certificate in use expires, in seconds since 1970; none without one.
    pub fn certificate_expires(&self) -> Option<i64> {
        Some(self.certificate_expires.load(Ordering::Relaxed)).filter(|seconds| *seconds != 0)
    }

    /// New certificates that could not be used.
    pub fn certificate_failures(&self) -> u64 {
        self.certificate_failures.load(Ordering::Relaxed)
    }

    pub(super) fn closed(&self, why: Closed) {
        self.closed[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn certificate(&self, expires: Option<i64>) {
        self.certificate_expires.store(expires.unwrap_or_default(), Ordering::Relaxed);
    }

    pub(super) fn certificate_failed(&self) {
        self.certificate_failures.fetch_add(1, Ordering::Relaxed);
    }
}

/// The places that there are for connections.
#[derive(Debug)]
pub(super) struct Places {
    limits: Connections,
    exempt: Vec<Network>,
    counts: Arc<Counts>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    told: Option<Instant>,
}

/// A connection's place; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    address: IpAddr,
}

impl Places {
    pub(super) fn new(limits: Connections, exempt: Vec<Network>, counts: Arc<Counts>) -> Self {
        Self { limits, exempt, counts, taken: Mutex::default() }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a connection from there.
    pub(super) fn take(self: &Arc<Self>, peer: IpAddr) -> Result<Place, Full> {
        let address = counted_as(peer);
        let exempt = self.exempt.iter().any(|proxy| proxy.contains(peer));
        let mut taken = self.taken();
        let here = taken.by_address.get(&address).copied().unwrap_or_default();
        let full = if taken.total >= self.limits.total {
            Full::Total
        } else if here >= self.limits.per_address && !exempt {
            Full::Address
        } else {
            taken.total += 1;
            taken.by_address.insert(address, here + 1);
            self.counts.open.store(taken.total as u64, Ordering::Relaxed);
            return Ok(Place { places: Arc::clone(self), address });
        };
        self.counts.refused[full as usize].fetch_add(1, Ordering::Relaxed);
        if taken.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            taken.told = Some(Instant::now());
            let (open, setting) = match full {
                Full::Total => (taken.total, "max_connections"),
                Full::Address => (here, "max_connections_per_address"),
            };
            drop(taken);
            tracing::warn!(client = %address, open, setting, "connections are refused");
        }
        Err(full)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.total = taken.total.saturating_sub(1);
        self.places.counts.open.store(taken.total as u64, Ordering::Relaxed);
        if let Some(here) = taken.by_address.get_mut(&self.address) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(total: usize, per_address: usize, exempt: &str) -> Arc<Places> {
        let hour = Duration::from_hours(1);
        let limits = Connections {
            total,
            per_address,
            header_timeout: hour,
            idle_timeout: hour,
            answer_idle: hour,
            grace: hour,
        };
        let exempt = exempt.parse().into_iter().collect();
        Arc::new(Places::new(limits, exempt, Arc::default()))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_given_back_and_counted_by_address() {
        let places = places(4, 2, "");
        let first = places.take(ip("10.0.0.1")).unwrap();
        let _second = places.take(ip("10.0.0.1")).unwrap();
        assert_eq!(places.take(ip("10.0.0.1")).unwrap_err(), Full::Address);
        drop(first);
        let _third = places.take(ip("10.0.0.1")).unwrap();
        let _v6 = places.take(ip("2001:db8::1")).unwrap();
        let _v6 = places.take(ip("2001:db8::2")).unwrap();
        assert_eq!(places.take(ip("10.0.0.2")).unwrap_err(), Full::Total);
        assert_eq!(places.counts.open(), 4);
        assert_eq!(places.counts.all_refused(), [("total", 1), ("address", 1)]);
    }

    #[test]
    fn trusted_proxy_is_bounded_by_the_total_only() {
        let places = places(3, 1, "10.0.0.0/8");
        let held: Vec<_> = (0..3).map(|_| places.take(ip("10.0.0.1")).unwrap()).collect();
        assert_eq!(places.take(ip("10.0.0.1")).unwrap_err(), Full::Total);
        drop(held);
        assert_eq!(places.counts.open(), 0);
        assert!(places.taken().by_address.is_empty());
    }
}
