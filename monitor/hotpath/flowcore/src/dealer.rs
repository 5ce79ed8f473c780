//! Deals the frames of one source to several workers (`capture.workers` in a replay).
//!
//! Frames of the same two addresses, the innermost ones, go to the same worker, so that both directions of
//! a flow, its DNS questions and their answers meet. Every worker is told of every tick at the same place
//! among its frames, so that each cuts and expires as one worker alone would.

use std::collections::VecDeque;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::mpsc::{channel, sync_channel, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::time::Duration;

use crate::decode::{decode, Addresses, FragmentKey, Packet};
use crate::source::{Burst, FrameSpan, KernelCounts, Next, Source, SourceError};
use crate::worker::DEFECT;

/// Bytes of frames that are handed over together, what tells of them included.
const PIECE: usize = 1 << 20;
/// How long a worker waits for frames before it sees to what other workers ask of it.
const PATIENCE: Duration = Duration::from_millis(20);
/// Pieces on their way to each worker: it works on one while others are filled.
const AHEAD: usize = 3;

/// Frames on their way to one worker.
#[derive(Debug, Default)]
struct Piece {
    memory: Vec<u8>,
    frames: Vec<FrameSpan>,
    /// The event clock behind these frames, where it enters a new tick.
    clock: Option<i64>,
    clamped: u64,
    warnings: Vec<String>,
}

impl Piece {
    /// What it takes: of a frame in a capture nothing may be there.
    fn bytes(&self) -> usize {
        self.memory.len() + size_of_val(&self.frames[..])
    }
}

/// One worker's end on the dealer's side.
struct Lane {
    filling: Piece,
    full: SyncSender<Result<Piece, SourceError>>,
    empty: Receiver<Piece>,
}

/// Reads a source and deals its frames; runs on a thread of its own.
pub struct Dealer<S> {
    source: S,
    lanes: Vec<Lane>,
    /// Nanoseconds in a tick.
    tick: i64,
    /// A tunnel's packets that come in fragments, and who has the first one. Only that one tells the
    /// addresses inside.
    carriers: VecDeque<(FragmentKey, usize)>,
}

/// Fragmented packets of tunnels that are remembered: they are on their way at the same time.
const MAX_CARRIERS: usize = 256;

/// A source that is one worker's share of another.
pub struct Share {
    interfaces: Vec<String>,
    full: Receiver<Result<Piece, SourceError>>,
    empty: Sender<Piece>,
    piece: Piece,
    clock: Option<i64>,
    over: bool,
}

/// Split a source into shares; the dealer must run for them to give anything.
pub fn deal<S: Source>(source: S, workers: usize, tick: i64) -> (Dealer<S>, Vec<Share>) {
    let interfaces = source.interfaces().to_vec();
    let mut lanes = Vec::with_capacity(workers);
    let mut shares = Vec::with_capacity(workers);
    for _ in 0..workers {
        let (full, full_end) = sync_channel(AHEAD);
        let (empty_end, empty) = channel();
        lanes.push(Lane { filling: Piece::default(), full, empty });
        let interfaces = interfaces.clone();
        let piece = Piece::default();
        shares.push(Share { interfaces, full: full_end, empty: empty_end, piece, clock: None, over: false });
    }
    (Dealer { source, lanes, tick, carriers: VecDeque::new() }, shares)
}

impl Lane {
    /// Hand over what was filled; false where nobody takes it any more.
    fn send(&mut self, clock: Option<i64>) -> bool {
        let next = self.empty.try_recv().unwrap_or_default();
        let mut piece = std::mem::replace(&mut self.filling, next);
        piece.clock = clock;
        self.full.send(Ok(piece)).is_ok()
    }

    /// Copy a frame.
    fn add(&mut self, span: &FrameSpan, data: &[u8]) {
        let offset = self.filling.memory.len() as u32;
        self.filling.memory.extend_from_slice(data);
        self.filling.frames.push(FrameSpan { offset, ..*span });
    }
}

impl<S: Source> Dealer<S> {
    /// Deal until the source ends or a worker takes no more.
    pub fn run(mut self) {
        let outcome = catch_unwind(AssertUnwindSafe(|| self.work()));
        if let Err(error) = outcome.unwrap_or_else(|_| Err(SourceError(DEFECT.to_owned()))) {
            if let Some(first) = self.lanes.first() {
                // a worker that has gone needs no reason
                let _ = first.full.send(Err(error));
            }
        }
    }

    fn work(&mut self) -> Result<(), SourceError> {
        let mut open = None;
        loop {
            match self.source.next_burst()? {
                Next::End => break,
                Next::Frames(burst) => {
                    for span in burst.frames {
                        let end = span.offset as usize + span.captured as usize;
                        let data = burst.memory.get(span.offset as usize..end).unwrap_or_default();
                        let tick = span.time.div_euclid(self.tick);
                        if open.is_none_or(|open| tick > open) {
                            open = Some(tick);
                            if !self.lanes.iter_mut().all(|lane| lane.send(Some(span.time))) {
                                return Ok(());
                            }
                        }
                        let place = worker_of(span, data, self.lanes.len(), &mut self.carriers);
                        let Some(lane) = self.lanes.get_mut(place) else { continue };
                        lane.add(span, data);
                        if lane.filling.bytes() >= PIECE && !lane.send(None) {
                            return Ok(());
                        }
                    }
                }
            }
        }
        if let Some(first) = self.lanes.first_mut() {
            first.filling.clamped = self.source.clamped_times();
            first.filling.warnings = self.source.take_warnings();
        }
        // a worker that has gone needs no rest
        self.lanes.iter_mut().for_each(|lane| _ = lane.send(None));
        Ok(())
    }
}

/// The worker that a frame belongs to: the same for all frames between two addresses, whichever sends.
fn worker_of(span: &FrameSpan, data: &[u8], workers: usize, carriers: &mut VecDeque<(FragmentKey, usize)>) -> usize {
    // what has no addresses has no flow
    let Ok(packet) = decode(span.link, data, span.wire) else { return 0 };
    let own = by_addresses(&packet.addresses, workers);
    if packet.fragment {
        with_the_first(&packet, own, carriers)
    } else {
        own
    }
}

/// A later fragment of a tunnel's packet goes where the first one went.
#[cold]
fn with_the_first(packet: &Packet<'_>, own: usize, carriers: &mut VecDeque<(FragmentKey, usize)>) -> usize {
    let [Some(head), None] = packet.fragments else { return own };
    let tunnel = if packet.carried { packet.outer_key } else { packet.encapsulation.key };
    let Some((key, _)) = head.read(tunnel) else { return own };
    if packet.carried {
        if carriers.len() >= MAX_CARRIERS {
            carriers.pop_front();
        }
        carriers.push_back((key, own));
    } else if packet.continuation {
        return carriers.iter().rev().find(|(known, _)| *known == key).map_or(own, |(_, place)| *place);
    }
    own
}

fn by_addresses(addresses: &Addresses, workers: usize) -> usize {
    let sum = match *addresses {
        Addresses::V4 { source, destination } => {
            u64::from(u32::from_be_bytes(source)) + u64::from(u32::from_be_bytes(destination))
        }
        Addresses::V6 { source, destination } => {
            let sum = u128::from_be_bytes(source).wrapping_add(u128::from_be_bytes(destination));
            (sum as u64).wrapping_add((sum >> 64) as u64)
        }
    };
    // the golden ratio of 2^64 spreads sums that lie close together (Knuth, volume 3, section 6.4)
    let mixed = sum.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed as usize) % workers.max(1)
}

impl Source for Share {
    fn interfaces(&self) -> &[String] {
        &self.interfaces
    }

    fn next_burst(&mut self) -> Result<Next<'_>, SourceError> {
        if self.over {
            return Ok(Next::End);
        }
        let next = match self.full.recv_timeout(PATIENCE) {
            Ok(next) => next,
            Err(RecvTimeoutError::Timeout) => return Ok(Next::Frames(Burst { frames: &[], memory: &[] })),
            Err(RecvTimeoutError::Disconnected) => return Ok(Next::End),
        };
        let mut used = std::mem::replace(&mut self.piece, next?);
        used.memory.clear();
        used.frames.clear();
        used.clock = None;
        // the dealer may be done already
        let _ = self.empty.send(used);
        self.clock = self.piece.clock.or(self.clock);
        Ok(Next::Frames(Burst { frames: &self.piece.frames, memory: &self.piece.memory }))
    }

    fn clock(&self) -> Option<i64> {
        self.clock
    }

    fn is_live(&self) -> bool {
        false
    }

    fn kernel_counts(&mut self) -> Vec<KernelCounts> {
        Vec::new()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }

    fn clamped_times(&self) -> u64 {
        self.piece.clamped
    }

    fn finish(&mut self) {
        self.over = true;
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.piece.warnings)
    }
}
