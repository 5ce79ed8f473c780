//! The whole Rust side over a capture file: read, decode, book, cut, and the batches thrown away.
//!
//! No Python in it, one thread but for the one that throws away, so that it can run under callgrind:
//! `tools/instructions.py` counts instructions, `make bench` shows what Python adds.

#![allow(missing_docs)]

use std::io;
use std::sync::Arc;
use std::time::Duration;

use flowcore::evidence::{Ring, RingOptions};
use flowcore::flow::{FlowTables, Limits, Network, Sides};
use flowcore::queue::{Orders, Queue};
use flowcore::source::files::CaptureFiles;
use flowcore::source::Source;
use flowcore::worker::{Handover, Worker};

/// Prefixes of IPv4 networks (RFC 1918) as IPv6 ones.
const LOCAL: [([u8; 4], u8); 3] = [([10, 0, 0, 0], 104), ([172, 16, 0, 0], 108), ([192, 168, 0, 0], 112)];
/// As a replay has them.
const HANDOVER: Handover = Handover { tick: 1_000_000_000, rows: 3 << 17, ticks: 256, most: 1 << 19 };

fn main() -> io::Result<()> {
    let usage = || io::Error::other("usage: line CAPTURE [MIB OF OPEN FLOWS [FOLDER FOR A RING]]");
    let path = std::env::args().nth(1).ok_or_else(usage)?;
    let mut limits = Limits::default();
    if let Some(flows) = std::env::args().nth(2) {
        limits.flows = flows.parse::<usize>().map_err(|_| usage())? << 20;
    }
    let source = CaptureFiles::open(&[path]).map_err(io::Error::other)?;
    let local = LOCAL.iter().map(|([a, b, c, d], prefix)| {
        Network::new([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, *a, *b, *c, *d], *prefix)
    });
    let sides = Sides { local: local.collect(), gateways: Vec::new() };
    let flows = FlowTables::new(sides, limits, HANDOVER.tick);
    let queue = Arc::new(Queue::default());
    let taker = Arc::clone(&queue);
    let thread = std::thread::spawn(move || {
        let (mut rows, mut batches) = (0, 0);
        loop {
            let Some(batch) = taker.pop(Duration::from_secs(1)) else { continue };
            rows += batch.flows.tick.len();
            batches += 1;
            if batch.done {
                return (rows, batches, batch);
            }
        }
    });
    let ring = std::env::args().nth(3).map(|folder| {
        let (folder, version) = (folder.into(), String::from("bench"));
        Ring::new(RingOptions { folder, size: 256 << 20, payload: 0, age: None, waits: true, version })
    });
    let recorder = ring.as_ref().and_then(|ring| ring.recorder(0, source.interfaces()));
    if let Some(ring) = &ring {
        ring.start().map_err(io::Error::other)?;
    }
    let worker = Worker::new(source, flows, HANDOVER, queue, Arc::new(Orders::default()));
    worker.recording(recorder).run();
    if let Some(ring) = &ring {
        ring.stop();
    }
    let (rows, batches, last) = thread.join().map_err(|_| io::Error::other("the taker of batches failed"))?;
    if let Some(failure) = last.failure {
        return Err(io::Error::other(failure));
    }
    let frames: u64 = last.counters.frames.iter().sum();
    println!("{frames} packets, {rows} rows in {batches} batches, {} flows evicted", last.counters.flows_evicted);
    Ok(())
}
