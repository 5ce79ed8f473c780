//! A ring in a folder of its own: frames that go into it by a worker, and what its files hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::line::{Made, SECOND};
use flowcore::evidence::{Ring, RingOptions};
use flowcore::flow::{FlowTables, Limits};
use flowcore::queue::{Orders, Queue};
use flowcore::source::files::CaptureFiles;
use flowcore::source::{FrameSpan, Next, Source};
use flowcore::worker::{Handover, Worker, MOST_ROWS};

pub const IP: usize = 20;
pub const TCP: usize = 20;
pub const UDP: usize = 8;

/// A folder that goes when the test is over.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("ring-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub fn options(folder: &Path) -> RingOptions {
    RingOptions {
        folder: folder.join("ring"),
        size: 64 << 20,
        payload: 0,
        age: None,
        waits: true,
        version: "0.0".into(),
    }
}

/// IPv4 with a transport header and payload; addresses 10.0.0.1 and 192.0.2.7.
pub fn ipv4(protocol: u8, out: bool, transport: &[u8], payload: &[u8]) -> Vec<u8> {
    let length = (IP + transport.len() + payload.len()) as u16;
    let mut packet = vec![0x45, 0, (length >> 8) as u8, length as u8, 0, 0, 0, 0, 64, protocol, 0, 0];
    let ends: [[u8; 4]; 2] = if out { [[10, 0, 0, 1], [192, 0, 2, 7]] } else { [[192, 0, 2, 7], [10, 0, 0, 1]] };
    packet.extend(ends.concat());
    packet.extend(transport);
    packet.extend(payload);
    packet
}

pub fn tcp(out: bool, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let ports: [u16; 2] = if out { [40000, 80] } else { [80, 40000] };
    let mut header = ports.map(u16::to_be_bytes).concat();
    header.extend(sequence.to_be_bytes());
    header.extend([0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
    ipv4(6, out, &header, payload)
}

pub fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let length = (UDP + payload.len()) as u16;
    let header = [40000_u16.to_be_bytes(), port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    ipv4(17, true, &header, payload)
}

/// Play frames through a worker that records into a ring.
pub fn record_all(ring: &Ring, made: Made) {
    let queue = Arc::new(Queue::default());
    let handover = Handover { tick: SECOND, rows: 1 << 10, ticks: 256, most: MOST_ROWS };
    let recorder = ring.recorder(0, made.interfaces());
    let flows = FlowTables::new(super::line::sides(), Limits::default(), SECOND);
    let worker = Worker::new(made, flows, handover, Arc::clone(&queue), Arc::new(Orders::default()));
    ring.start().unwrap();
    let thread = std::thread::spawn(move || worker.recording(recorder).run());
    // however long a busy machine takes; only a worker that is gone gives none any more
    loop {
        let ended = thread.is_finished();
        match queue.pop(Duration::from_millis(100)) {
            Some(batch) if batch.done => break,
            Some(_) => {}
            None => assert!(!ended, "the worker ended without its last batch"),
        }
    }
    thread.join().unwrap();
}

pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(folder.join("ring")).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// All frames of a file, as the reader of capture files gives them.
pub fn frames(paths: &[PathBuf]) -> Vec<(FrameSpan, Vec<u8>)> {
    if paths.is_empty() {
        return Vec::new();
    }
    let names: Vec<String> = paths.iter().map(|path| path.to_str().unwrap().into()).collect();
    let mut source = CaptureFiles::open(&names).unwrap();
    let mut all = Vec::new();
    while let Next::Frames(burst) = source.next_burst().unwrap() {
        for span in burst.frames {
            let data = &burst.memory[span.offset as usize..(span.offset + span.captured) as usize];
            all.push((*span, data.to_vec()));
        }
    }
    assert_eq!(source.take_warnings(), Vec::<String>::new());
    all
}
