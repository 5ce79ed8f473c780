//! What passes between a worker and Python: batches one way, orders the other. Touched once a batch or
//! tick, never once a packet.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::flow::{Batch, Sides, Spare};

/// Batches of each worker that may wait: Python works on one while two are ready.
const CAPACITY: usize = 2;

/// Batches on their way.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    capacity: usize,
    /// The latest tick at whose beginning all workers are asked to hand over.
    called: AtomicI64,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue::new(1)
    }
}

#[derive(Debug, Default)]
struct Waiting {
    batches: VecDeque<Batch>,
    /// One for each worker at most.
    spare: Vec<Spare>,
    closed: bool,
}

impl Queue {
    /// An empty queue for this many workers.
    #[must_use]
    pub fn new(workers: usize) -> Queue {
        let capacity = CAPACITY * workers.max(1);
        Queue { waiting: Mutex::default(), changed: Condvar::new(), capacity, called: AtomicI64::new(i64::MIN) }
    }

    /// Ask all workers to hand over once they are at this tick, so that their batches can be joined.
    pub fn call(&self, tick: i64) {
        self.called.fetch_max(tick, Ordering::Relaxed);
    }

    /// The tick that was asked for last.
    pub fn called(&self) -> i64 {
        self.called.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // a thread that panicked while it held the lock left a whole queue behind
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a batch would have to wait for room.
    pub fn is_full(&self) -> bool {
        self.lock().batches.len() >= self.capacity
    }

    /// Add a batch, waiting for room; gives false where nobody takes batches any more.
    pub fn push(&self, batch: Batch) -> bool {
        let mut waiting = self.lock();
        while waiting.batches.len() >= self.capacity && !waiting.closed {
            waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed {
            return false;
        }
        waiting.batches.push_back(batch);
        self.changed.notify_all();
        true
    }

    /// Take a batch, waiting at most this long for one.
    pub fn pop(&self, patience: Duration) -> Option<Batch> {
        let waiting = self.lock();
        let (mut waiting, _) = self
            .changed
            .wait_timeout_while(waiting, patience, |waiting| waiting.batches.is_empty() && !waiting.closed)
            .unwrap_or_else(PoisonError::into_inner);
        let batch = waiting.batches.pop_front();
        self.changed.notify_all();
        batch
    }

    /// Give back what is left of a batch, for one to come. What nobody has use for is freed.
    pub fn give_back(&self, spare: Spare) {
        let mut waiting = self.lock();
        if waiting.spare.len() < self.capacity / CAPACITY {
            waiting.spare.push(spare);
        }
    }

    /// What was given back; nothing, where nothing was.
    pub fn spare(&self) -> Spare {
        self.lock().spare.pop().unwrap_or_default()
    }

    /// Nobody will take batches any more: a worker that waits for room stops waiting.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }
}

/// What may be asked of a worker while it runs.
#[derive(Debug, Default)]
pub struct Orders {
    /// The worker is to end: frames that wait are counted, flows are closed as `shutdown`.
    pub stop: AtomicBool,
    /// New sides, to be taken at the next tick.
    pub sides: Mutex<Option<Sides>>,
}
