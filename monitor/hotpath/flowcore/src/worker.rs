//! The loop: burst -> decode -> book -> cut. One worker owns everything that it touches.
//!
//! Read this after `pipeline.py`, and [`crate::line`] next. Nothing crosses to Python per packet, nothing
//! is locked.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::evidence::Recorder;
use crate::flow::{Batch, FlowTables, LOT};
use crate::line::Line;
pub use crate::line::{Handover, MOST_ROWS};
use crate::lot::Lot;
use crate::queue::{Orders, Queue};
use crate::source::{Next, Source, SourceError};

/// What is told of a thread that panicked: nobody may wait for it, and take its silence for that of the network.
pub const DEFECT: &str =
    "a thread that reads packets has ended by a defect of this program, which is told above; please report it";

/// A source, and the line of stages behind it.
pub struct Worker<S> {
    source: S,
    line: Line,
    orders: Arc<Orders>,
}

impl<S: Source> Worker<S> {
    /// Put a worker together; `run` starts it.
    pub fn new(source: S, flows: FlowTables, handover: Handover, queue: Arc<Queue>, orders: Arc<Orders>) -> Self {
        let line = Line::new(flows, handover, queue, source.interfaces().len(), source.is_live());
        Worker { source, orders, line }
    }

    /// Say which of several workers this is.
    #[must_use]
    pub fn numbered(mut self, number: usize) -> Self {
        self.line.number = number;
        self
    }

    /// Keep the recent past.
    #[must_use]
    pub fn recording(mut self, recorder: Option<Recorder>) -> Self {
        self.line.recorder = recorder;
        self
    }

    /// Work until the source ends or the order to stop comes; hands over the last batch with `done`, also after a panic.
    pub fn run(self) {
        let (queue, worker) = (Arc::clone(&self.line.queue), self.line.number);
        if catch_unwind(AssertUnwindSafe(|| self.run_to_the_end())).is_err() {
            queue.push(Batch { worker, done: true, failure: Some(DEFECT.to_owned()), ..Batch::default() });
        }
    }

    fn run_to_the_end(mut self) {
        self.note();
        let failure = self.work().err().map(|error| error.0);
        self.note();
        self.line.finish(failure);
    }

    fn work(&mut self) -> Result<(), SourceError> {
        let mut stopping = false;
        while !self.line.abandoned {
            if !stopping && self.orders.stop.load(Ordering::Relaxed) {
                stopping = true;
                self.source.finish();
            }
            match self.source.next_burst()? {
                Next::End => break,
                Next::Frames(burst) => {
                    let mut room = Lot::EMPTY;
                    for frames in burst.frames.chunks(LOT) {
                        self.line.frames(frames, burst.memory, &mut room);
                    }
                }
            }
            if let Some(now) = self.source.clock() {
                if self.line.is_due(now) {
                    self.note();
                    self.line.advance(now);
                }
            }
            self.line.answer();
        }
        Ok(())
    }

    /// Take what the source counts and says, and new orders.
    fn note(&mut self) {
        let kernel = self.source.kernel_counts();
        let line = &mut self.line;
        line.counters.kernel_packets = kernel.iter().map(|counts| counts.packets).collect();
        line.counters.kernel_drops = kernel.iter().map(|counts| counts.drops).collect();
        line.longest = self.source.longest_frames();
        line.counters.clamped_times = self.source.clamped_times();
        line.warnings.extend(self.source.take_warnings());
        if let Some(sides) = self.orders.sides.lock().unwrap_or_else(PoisonError::into_inner).take() {
            line.flows.set_sides(sides);
        }
    }
}
