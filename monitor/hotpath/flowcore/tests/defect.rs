//! A thread that panics says so: whoever waits for its batches would otherwise take it for a quiet network.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::line::{sides, Made, SECOND};
use common::{ipv4, udp};
use flowcore::dealer::deal;
use flowcore::flow::{Batch, FlowTables, Limits};
use flowcore::queue::{Orders, Queue};
use flowcore::source::{KernelCounts, Next, Source, SourceError};
use flowcore::worker::{Handover, Worker, DEFECT};

/// A source that has a defect behind its first frames.
struct Defective {
    good: Made,
    bursts: usize,
}

impl Defective {
    fn new() -> Defective {
        let packet = ipv4([10, 0, 0, 1], [198, 51, 100, 1], 17, &udp(5000, 443, b"hello"));
        Defective { good: Made::of_packets(&[(1000, packet)]), bursts: 0 }
    }
}

impl Source for Defective {
    fn interfaces(&self) -> &[String] {
        self.good.interfaces()
    }
    fn next_burst(&mut self) -> Result<Next<'_>, SourceError> {
        self.bursts += 1;
        assert!(self.bursts < 2, "the defect");
        self.good.next_burst()
    }
    fn clock(&self) -> Option<i64> {
        None
    }
    fn kernel_counts(&mut self) -> Vec<KernelCounts> {
        Vec::new()
    }
    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }
    fn clamped_times(&self) -> u64 {
        0
    }
    fn finish(&mut self) {}
    fn take_warnings(&mut self) -> Vec<String> {
        Vec::new()
    }
}

fn start(source: impl Source + Send + 'static, number: usize, queue: &Arc<Queue>) {
    let flows = FlowTables::new(sides(), Limits::default(), SECOND);
    let handover = Handover { tick: SECOND, rows: 500, ticks: 256, most: 1000 };
    let worker = Worker::new(source, flows, handover, Arc::clone(queue), Arc::new(Orders::default())).numbered(number);
    std::thread::spawn(move || worker.run());
}

fn last_of(queue: &Queue, worker: usize) -> Batch {
    loop {
        let batch = queue.pop(Duration::from_secs(20)).unwrap();
        if batch.done && batch.worker == worker {
            return batch;
        }
    }
}

#[test]
fn a_worker_that_panics_is_told_of() {
    let queue = Arc::new(Queue::new(1));
    start(Defective::new(), 3, &queue);
    assert_eq!(last_of(&queue, 3).failure.as_deref(), Some(DEFECT));
}

#[test]
fn a_dealer_that_panics_is_told_of() {
    let (dealer, shares) = deal(Defective::new(), 2, SECOND);
    let queue = Arc::new(Queue::new(2));
    std::thread::spawn(move || dealer.run());
    for (number, share) in shares.into_iter().enumerate() {
        start(share, number, &queue);
    }
    assert_eq!(last_of(&queue, 0).failure.as_deref(), Some(DEFECT), "not a capture that is read to its end");
}
