//! How a change becomes durable: writers that wait at the same time share one transaction and one fsync.

use super::{
    MetaError,
    table::{Snapshot, Tables},
};
use redb::{Database, Durability, ReadableDatabase};
use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The metadata database.
///
/// Both calls block: [`Meta::read`] for microseconds unless pages come from disk, [`Meta::write`] for an fsync,
/// so writes belong on a blocking thread.
pub(crate) struct Meta {
    db: Arc<Database>,
    queue: Mutex<Vec<Job>>,
    writer: Mutex<()>,
}

/// Runs a queued change; what it returns is called once the transaction is durable.
type Job = Box<dyn FnOnce(&mut Tables<'_>) -> Result<Delivery, MetaError> + Send>;
type Delivery = Box<dyn FnOnce() + Send>;

impl std::fmt::Debug for Meta {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meta").finish_non_exhaustive()
    }
}

impl Meta {
    /// Creates the tables that are missing.
    pub(crate) fn open(db: Arc<Database>) -> Result<Self, MetaError> {
        let transaction = db.begin_write()?;
        Tables::open(&transaction)?;
        transaction.commit()?;
        Ok(Self { db, queue: Mutex::default(), writer: Mutex::default() })
    }

    /// Everything as it is now; later changes are not seen through it.
    pub(crate) fn read(&self) -> Result<Snapshot, MetaError> {
        Snapshot::open(&self.db.begin_read()?)
    }

    /// Runs a change and returns when it is durable.
    ///
    /// A change that refuses (`Ok(Err(_))`) must have written nothing: it shares its transaction with others.
    /// Whoever gets the writer's lock commits for all that queued meanwhile; the batch is as long as the
    /// number of threads that wait, which the runtime bounds.
    /// The change must not start a transaction of its own on the same database.
    pub(crate) fn write<T, E>(
        &self,
        change: impl FnOnce(&mut Tables<'_>) -> Result<Result<T, E>, MetaError> + Send + 'static,
    ) -> Result<Result<T, E>, MetaError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let slot = Arc::new(Mutex::new(None));
        let answer = Arc::clone(&slot);
        lock(&self.queue).push(Box::new(move |tables| {
            let outcome = change(tables)?;
            Ok(Box::new(move || *lock(&answer) = Some(outcome)))
        }));
        let writer = lock(&self.writer);
        if let Some(outcome) = lock(&slot).take() {
            return Ok(outcome);
        }
        let jobs = mem::take(&mut *lock(&self.queue));
        if let Err(error) = self.commit(jobs) {
            tracing::error!(error = &error as &dyn std::error::Error, "metadata transaction failed");
        }
        drop(writer);
        lock(&slot).take().ok_or(MetaError::NotCommitted)
    }

    fn commit(&self, jobs: Vec<Job>) -> Result<(), MetaError> {
        if jobs.is_empty() {
            return Ok(());
        }
        let mut transaction = self.db.begin_write()?;
        transaction.set_durability(Durability::Immediate).map_err(|_| MetaError::NotCommitted)?;
        let mut deliveries = Vec::with_capacity(jobs.len());
        {
            let mut tables = Tables::open(&transaction)?;
            for job in jobs {
                deliveries.push(job(&mut tables)?);
            }
        }
        transaction.commit()?;
        for deliver in deliveries {
            deliver();
        }
        Ok(())
    }
}

/// A poisoned lock guards data that stays whole when a change panics: its transaction is dropped.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta() -> (tempfile::TempDir, Meta) {
        let dir = tempfile::tempdir().unwrap();
        let db = Database::create(dir.path().join("meta.redb")).unwrap();
        (dir, Meta::open(Arc::new(db)).unwrap())
    }

    #[test]
    fn a_refused_change_leaves_its_neighbours_alone() {
        let (_dir, meta) = meta();
        let meta = Arc::new(meta);
        std::thread::scope(|scope| {
            for n in 0..16_u64 {
                let meta = Arc::clone(&meta);
                scope.spawn(move || {
                    let outcome = meta
                        .write(move |tables| {
                            if n % 2 == 0 {
                                return Ok(Err(n));
                            }
                            Ok(Ok(tables.next_sequence()?))
                        })
                        .unwrap();
                    assert_eq!(outcome.is_err(), n % 2 == 0);
                });
            }
        });
        let next = meta.write(|tables| Ok(Ok::<_, ()>(tables.next_sequence()?))).unwrap().unwrap();
        assert_eq!(next, 9);
    }

    #[test]
    fn a_change_that_fails_commits_nothing() {
        let (_dir, meta) = meta();
        let failed = meta.write(|tables| {
            tables.next_sequence()?;
            Err::<Result<(), ()>, _>(MetaError::NotCommitted)
        });
        assert!(failed.is_err());
        let next = meta.write(|tables| Ok(Ok::<_, ()>(tables.next_sequence()?))).unwrap().unwrap();
        assert_eq!(next, 1);
    }
}
