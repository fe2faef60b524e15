//! What somebody may do in a while, remembered for a bounded number of them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::time::OffsetDateTime;

/// How many are remembered; whoever is forgotten begins anew.
const REMEMBERED: usize = 10_000;

/// Token buckets: a burst at once, and then so many a second.
#[derive(Debug)]
pub(super) struct Rates<K> {
    per_second: f64,
    burst: f64,
    buckets: Mutex<HashMap<K, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl<K: Hash + Eq + Clone> Rates<K> {
    pub(super) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, buckets: Mutex::default() }
    }

    /// Takes one.
    ///
    /// # Errors
    /// How long to wait when there is none.
    pub(super) fn take(&self, who: &K, now: Instant) -> Result<(), Duration> {
        let mut buckets = lock(&self.buckets);
        if !buckets.contains_key(who) && buckets.len() >= REMEMBERED {
            self.forget(&mut buckets, now);
        }
        let bucket = buckets.entry(who.clone()).or_insert(Bucket { tokens: self.burst, at: now });
        *bucket = Bucket { tokens: self.tokens(bucket, now), at: now };
        if bucket.tokens < 1.0 {
            return Err(self.wait(bucket.tokens));
        }
        bucket.tokens -= 1.0;
        Ok(())
    }

    /// How long to wait when there is none; nothing is taken.
    pub(super) fn look(&self, who: &K, now: Instant) -> Result<(), Duration> {
        let Some(bucket) = lock(&self.buckets).get(who).copied() else { return Ok(()) };
        let tokens = self.tokens(&bucket, now);
        if tokens < 1.0 { Err(self.wait(tokens)) } else { Ok(()) }
    }

    fn tokens(&self, bucket: &Bucket, now: Instant) -> f64 {
        let since = now.saturating_duration_since(bucket.at).as_secs_f64();
        since.mul_add(self.per_second, bucket.tokens).min(self.burst)
    }

    fn wait(&self, tokens: f64) -> Duration {
        Duration::from_secs_f64((1.0 - tokens) / self.per_second)
    }

    /// Makes room: who has a full bucket is as good as new; else those go that were here longest ago.
    fn forget(&self, buckets: &mut HashMap<K, Bucket>, now: Instant) {
        buckets.retain(|_, bucket| self.tokens(bucket, now) < self.burst);
        if buckets.len() < REMEMBERED {
            return;
        }
        let mut times: Vec<Instant> = buckets.values().map(|bucket| bucket.at).collect();
        let middle = times.len() / 2;
        let (_, &mut median, _) = times.select_nth_unstable(middle);
        buckets.retain(|_, bucket| bucket.at > median);
    }
}

/// Bytes that each may bring until midnight, UTC.
#[derive(Debug)]
pub(super) struct Quotas {
    per_day: u64,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    day: i32,
    bytes: HashMap<String, u64>,
}

impl Quotas {
    pub(super) fn new(per_day: u64) -> Self {
        Self { per_day, used: Mutex::default() }
    }

    /// Takes so many bytes from what is left; whoever has nothing left brings nothing more.
    ///
    /// # Errors
    /// How long it is until midnight.
    pub(super) fn take(&self, who: &str, bytes: u64, now: OffsetDateTime) -> Result<(), Duration> {
        let mut used = self.today(now);
        let so_far = used.bytes.get(who).copied().unwrap_or_default();
        let after = so_far.saturating_add(bytes);
        if after > self.per_day {
            return Err(until_midnight(now));
        }
        if so_far == 0 && used.bytes.len() >= REMEMBERED {
            let least = used.bytes.iter().min_by_key(|(_, bytes)| **bytes).map(|(name, _)| name.clone());
            least.and_then(|name| used.bytes.remove(&name));
        }
        used.bytes.insert(who.to_owned(), after);
        Ok(())
    }

    /// Whether so many would be left; nothing is taken.
    ///
    /// # Errors
    /// How long it is until midnight.
    pub(super) fn look(&self, who: &str, bytes: u64, now: OffsetDateTime) -> Result<(), Duration> {
        let so_far = self.today(now).bytes.get(who).copied().unwrap_or_default();
        if so_far.saturating_add(bytes) > self.per_day { Err(until_midnight(now)) } else { Ok(()) }
    }

    fn today(&self, now: OffsetDateTime) -> MutexGuard<'_, Used> {
        let mut used = lock(&self.used);
        let day = now.to_julian_day();
        if used.day != day {
            *used = Used { day, bytes: HashMap::new() };
        }
        used
    }
}

fn until_midnight(now: OffsetDateTime) -> Duration {
    let (hours, minutes, seconds) = now.to_hms();
    let gone = (u64::from(hours) * 60 + u64::from(minutes)) * 60 + u64::from(seconds);
    Duration::from_secs(86_400 - gone)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_at_once_then_the_rate_and_never_more_than_the_burst() {
        let rates = Rates::new(2.0, 3.0);
        let began = Instant::now();
        let taken = |after| {
            let now = began + Duration::from_secs(after);
            (0..10).take_while(|_| rates.take(&"a", now).is_ok()).count()
        };
        assert_eq!(taken(0), 3);
        assert_eq!(taken(1), 2);
        assert_eq!(taken(3_600), 3);
        let wait = rates.take(&"a", began + Duration::from_hours(1)).unwrap_err();
        assert_eq!(wait, Duration::from_millis(500));
        assert_eq!(rates.look(&"a", began + Duration::from_hours(1)), Err(wait));
        assert_eq!(rates.look(&"b", began), Ok(()));
        rates.take(&"b", began).unwrap();
    }

    #[test]
    fn table_is_bounded_and_forgets_those_who_were_here_longest_ago() {
        let rates = Rates::new(0.001, 2.0);
        let began = Instant::now();
        let end = u32::try_from(3 * REMEMBERED).unwrap();
        for who in 0..end {
            rates.take(&who, began + Duration::from_millis(u64::from(who))).unwrap();
        }
        let buckets = lock(&rates.buckets);
        assert!(buckets.len() <= REMEMBERED, "{}", buckets.len());
        assert!(buckets.contains_key(&(end - 1)) && !buckets.contains_key(&0));
    }

    #[test]
    fn bytes_of_a_day_are_taken_until_midnight() {
        let quotas = Quotas::new(100);
        let evening = OffsetDateTime::UNIX_EPOCH + Duration::from_hours(23);
        quotas.take("a", 60, evening).unwrap();
        quotas.look("a", 40, evening).unwrap();
        assert_eq!(quotas.look("a", 41, evening), Err(Duration::from_hours(1)));
        assert_eq!(quotas.take("a", 41, evening), Err(Duration::from_hours(1)));
        quotas.take("a", 40, evening).unwrap();
        quotas.take("b", 100, evening).unwrap();
        quotas.take("a", 100, evening + Duration::from_hours(1)).unwrap();
    }

    #[test]
    fn quota_table_is_bounded() {
        let quotas = Quotas::new(100);
        for who in 0..REMEMBERED + 10 {
            quotas.take(&who.to_string(), 1, OffsetDateTime::UNIX_EPOCH).unwrap();
        }
        assert_eq!(lock(&quotas.used).bytes.len(), REMEMBERED);
    }
}
