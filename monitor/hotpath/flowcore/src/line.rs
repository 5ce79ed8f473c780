//! Everything behind the source: frames through decode and flow, and the records cut at ticks.
//!
//! Before a packet of a later tick is booked, the open tick's records are cut; whole ticks go to Python in
//! batches.

use std::sync::Arc;

use crate::counters::Counters;
use crate::decode::{decode_into, Packet};
use crate::evidence::Recorder;
use crate::flow::{Batch, FlowTables};
use crate::lot::{Lot, Part};
use crate::queue::Queue;
use crate::source::superframe::repeated_headers;
use crate::source::{clock, FrameSpan};

/// When a batch is handed over. A call of the Python side costs milliseconds however few the rows: a
/// replay gathers this much, a live source hands over each tick.
#[derive(Clone, Copy, Debug)]
pub struct Handover {
    /// Nanoseconds in a tick.
    pub tick: i64,
    /// What makes a batch at the end of a tick, in flow rows ([`FlowTables::weight`]).
    pub rows: usize,
    /// Ticks that make a batch.
    pub ticks: u64,
    /// What a batch may weigh. Where a tick has more, it goes in parts; that is what bounds the memory of all later
    /// stages. A third above `rows`, so that the tick that fills a batch is whole.
    pub most: usize,
}

/// [`Handover::most`] of a live source, and the least that one has.
pub const MOST_ROWS: usize = 1 << 18;

/// How often a live source tells who opened flows, for the next run: in nanoseconds.
const MINUTE: i64 = 60_000_000_000;
/// Bytes of a VLAN tag.
const TAG: u32 = 4;

/// What is there of a frame.
#[inline]
fn data_of<'a>(span: &FrameSpan, memory: &'a [u8]) -> &'a [u8] {
    let start = span.offset as usize;
    memory.get(start..start + span.captured as usize).unwrap_or_default()
}

/// Bytes of a frame on the wire: a tag that the kernel took out was there too.
#[inline]
fn on_wire(span: &FrameSpan) -> u32 {
    span.wire.saturating_add(TAG * u32::from(span.vlan != 0))
}

/// Everything behind the source.
pub(crate) struct Line {
    pub(crate) flows: FlowTables,
    pub(crate) counters: Counters,
    handover: Handover,
    /// The open tick, counted from 1970; `None` before the first frame.
    tick: Option<i64>,
    /// Where it begins and where the next one does, in nanoseconds.
    begins: i64,
    ends: i64,
    /// Bytes of the longest frame of each interface; empty where nothing is a super-frame.
    pub(crate) longest: Vec<u32>,
    /// Which of several workers this is.
    pub(crate) number: usize,
    /// The tick at whose beginning a batch was handed over last.
    handed: i64,
    /// A live source does not wait for Python.
    live: bool,
    /// The minute in which who opened flows was handed over last.
    minute: i64,
    pub(crate) queue: Arc<Queue>,
    /// Keeps the recent past on disk; `None` where nobody wants it.
    pub(crate) recorder: Option<Recorder>,
    /// Nobody takes batches any more.
    pub(crate) abandoned: bool,
    pub(crate) warnings: Vec<String>,
}

impl Line {
    /// A line that no frame went through yet, behind a source of so many interfaces.
    pub(crate) fn new(
        mut flows: FlowTables,
        handover: Handover,
        queue: Arc<Queue>,
        interfaces: usize,
        live: bool,
    ) -> Line {
        let zeros = vec![0; interfaces];
        flows.weigh_for(handover.most, live);
        Line {
            flows,
            counters: Counters {
                frames: zeros.clone(),
                wire_bytes: zeros.clone(),
                superframes: zeros.clone(),
                repeated_told: zeros.clone(),
                repeated_estimated: zeros,
                ..Counters::default()
            },
            longest: Vec::new(),
            handover,
            tick: None,
            begins: i64::MIN,
            ends: i64::MIN,
            number: 0,
            handed: i64::MIN,
            live,
            minute: i64::MIN,
            queue,
            recorder: None,
            abandoned: false,
            warnings: Vec::new(),
        }
    }

    /// Some frames through decode and flow, no more than a lot. All are decoded and their flows asked for before the first is
    /// booked, so that they wait for memory together and not one after the other.
    pub(crate) fn frames<'a>(&mut self, spans: &[FrameSpan], memory: &'a [u8], room: &mut Lot<'a>) {
        self.decode(spans, memory, room);
        let Lot { packets, places, failures } = room;
        self.flows.prefetch(places.get_mut(..spans.len()).unwrap_or_default());
        let mut left = Part { spans, packets, places, failures };
        // the frames of an interface up to the one that ends the tick, each time
        while let Some(first) = left.spans.first() {
            self.advance(first.time);
            let (now, later) = left.split_at(self.receive(first, left.spans));
            if !self.longest.is_empty() {
                self.superframes(now);
            }
            self.book(now);
            self.record(now, memory);
            left = later;
        }
        if self.flows.weight() >= self.handover.most {
            self.relieve();
        }
    }

    /// Decode frames, and find out where each belongs.
    #[inline(never)]
    fn decode<'a>(&mut self, spans: &[FrameSpan], memory: &'a [u8], room: &mut Lot<'a>) {
        let Lot { packets, places, failures } = room;
        for (((span, packet), place), failure) in spans.iter().zip(packets).zip(places).zip(failures) {
            *failure = decode_into(span.link, data_of(span, memory), span.wire, packet).err();
            if failure.is_some() {
                continue;
            }
            // a tag that the kernel took out was on the wire
            if span.vlan != 0 {
                packet.encapsulation.add_outer_tag(span.vlan);
                packet.link_bytes += TAG;
            }
            self.flows.place(packet, span.interface, place);
        }
    }

    /// Count the first frames as received: those of the interface of the first, up to one that ends the tick. Gives how many.
    #[inline(never)]
    fn receive(&mut self, first: &FrameSpan, spans: &[FrameSpan]) -> usize {
        let (mut latest, mut earliest, mut differs, mut wire) = (i64::MIN, i64::MAX, 0, 0);
        for span in spans {
            latest = latest.max(span.time);
            earliest = earliest.min(span.time);
            differs |= (span.interface ^ first.interface) | span.vlan;
            wire += u64::from(span.wire);
        }
        let (mut count, mut late) = (spans.len(), 0);
        // mostly they are all of one interface and tick, and none is late
        if latest >= self.ends || earliest < self.begins || differs != 0 {
            (count, late, wire) = (0, 0, 0);
            let of_run = |span: &&FrameSpan| span.time < self.ends && span.interface == first.interface;
            for span in spans.iter().take_while(of_run) {
                count += 1;
                late += u64::from(span.time < self.begins);
                wire += u64::from(on_wire(span));
            }
        }
        let counters = &mut self.counters;
        counters.late_frames += late;
        let interface = usize::from(first.interface);
        if let (Some(frames), Some(bytes)) =
            (counters.frames.get_mut(interface), counters.wire_bytes.get_mut(interface))
        {
            *frames += count as u64;
            *bytes += wire;
        }
        // times are below [`MAX_TIME`](crate::source::MAX_TIME), so that the first is always one
        count.max(1)
    }

    /// Book frames, none of which ends the tick.
    #[inline(never)]
    fn book(&mut self, part: Part<'_, '_>) {
        for (span, frame) in part.frames() {
            let wire = on_wire(span);
            match frame {
                Ok((packet, place)) => self.flows.book(packet, place, span.time, wire, &mut self.counters),
                Err(reason) => {
                    self.counters.undecoded_frames[reason.index()] += 1;
                    self.counters.undecoded_bytes[reason.index()] += u64::from(wire);
                }
            }
        }
    }

    /// Keep what is to be kept of frames.
    fn record(&mut self, part: Part<'_, '_>, memory: &[u8]) {
        let Some(recorder) = &mut self.recorder else { return };
        for (place, (span, frame)) in part.places.iter().zip(part.frames()) {
            recorder.frame(span, data_of(span, memory), frame.ok().map(|(packet, _)| packet), place.stream());
        }
    }

    /// Count the super-frames among frames.
    fn superframes(&mut self, part: Part<'_, '_>) {
        for (span, frame) in part.frames() {
            let longest = self.longest.get(usize::from(span.interface)).copied().unwrap_or(u32::MAX);
            let Ok((packet, _)) = frame else { continue };
            if span.segment != 0 || span.wire > longest {
                self.superframe(span, packet, longest);
            }
        }
    }

    /// Count what the segments of a super-frame carry beside what was seen.
    #[cold]
    fn superframe(&mut self, span: &FrameSpan, packet: &Packet<'_>, longest: u32) {
        let counters = &mut self.counters;
        let repeated = if span.segment == 0 { &mut counters.repeated_estimated } else { &mut counters.repeated_told };
        let interface = usize::from(span.interface);
        if let (Some(frames), Some(bytes)) = (counters.superframes.get_mut(interface), repeated.get_mut(interface)) {
            *frames += 1;
            *bytes += repeated_headers(span.wire, packet.payload_bytes, span.segment, longest);
        }
    }

    pub(crate) fn is_due(&self, now: i64) -> bool {
        now >= self.ends
    }

    /// Move the clock; where that ends the open tick, cut its records. A gap is one step.
    #[inline]
    pub(crate) fn advance(&mut self, now: i64) {
        if now >= self.ends {
            self.begin(now.div_euclid(self.handover.tick));
        }
    }

    fn begin(&mut self, tick: i64) {
        if self.tick.is_some() {
            let must_wait = self.live && self.queue.is_full();
            if must_wait && self.flows.weight() > self.handover.most {
                // nobody takes the batches: this tick's traffic becomes part of the next
                self.counters.merged_ticks += 1;
            } else {
                self.cut();
            }
            let enough = self.flows.weight() >= self.handover.rows || self.flows.ticks() >= self.handover.ticks;
            if enough {
                self.queue.call(tick);
            }
            let called = self.queue.called();
            let asked = called > self.handed && tick >= called;
            if (enough || asked) && !must_wait {
                self.handed = tick;
                self.hand_over(tick.saturating_mul(self.handover.tick));
            }
        }
        self.tick = Some(tick);
        self.begins = tick.saturating_mul(self.handover.tick);
        self.ends = self.begins.saturating_add(self.handover.tick);
        self.flows.begin(tick);
        while !self.flows.expire(self.room()) {
            self.relieve();
        }
    }

    /// Hand over the ticks that are over where another worker asks for them in the midst of a tick: it hands that over in
    /// parts, which wait in Python for as long as something older may come. A live worker has done so when the tick began.
    pub(crate) fn answer(&mut self) {
        let called = self.queue.called();
        let Some(tick) = self.tick.filter(|tick| !self.live && called > self.handed && *tick >= called) else { return };
        self.handed = tick;
        self.hand_over(self.begins);
    }

    /// Cut the records of the open tick, in parts where they are more than a batch may have.
    fn cut(&mut self) {
        loop {
            let room = self.room();
            if self.flows.cut(&mut self.counters, room) {
                return;
            }
            if self.live && self.queue.is_full() {
                // the rest of this tick's traffic becomes part of the next
                self.counters.merged_ticks += 1;
                return;
            }
            self.relieve();
        }
    }

    /// Rows that may wait: live, while nobody takes the batches, as many again.
    fn room(&self) -> usize {
        let most = self.handover.most;
        if self.live && self.flows.weight() >= most && self.queue.is_full() {
            2 * most
        } else {
            most
        }
    }

    /// Hand over the rows of a tick that is not over, if there is no room for more. This waits for Python:
    /// a live source then loses frames in the kernel, where they are counted.
    #[cold]
    fn relieve(&mut self) {
        if self.flows.weight() >= self.room() {
            // those that hand over whole ticks are to come as far as this one, which has done so with this
            let tick = self.tick.unwrap_or(i64::MIN);
            self.queue.call(tick);
            self.handed = self.handed.max(tick);
            self.hand_over(self.begins);
        }
    }

    fn hand_over(&mut self, clock: i64) {
        let batch = self.batch(clock);
        self.abandoned = !self.queue.push(batch);
    }

    /// The rows that wait, with the counters as they stand.
    fn batch(&mut self, clock: i64) -> Batch {
        // what is told now can be asked for at once
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
        let mut batch = self.flows.take(&mut self.counters, self.queue.spare());
        self.counters.cpu_nanoseconds = clock::thread_cpu();
        batch.clock = clock;
        batch.worker = self.number;
        batch.counters = self.counters.clone();
        for (interface, wire) in self.flows.unbooked() {
            // counted when they are booked, so that the laws hold for a part of a tick too
            let counters = &mut batch.counters;
            let places =
                (counters.frames.get_mut(usize::from(interface)), counters.wire_bytes.get_mut(usize::from(interface)));
            if let (Some(frames), Some(bytes)) = places {
                *frames -= 1;
                *bytes -= u64::from(wire);
            }
        }
        let minute = clock.div_euclid(MINUTE);
        if self.live && minute != self.minute {
            self.minute = minute;
            batch.opened = Some(self.flows.opened());
        }
        batch.warnings.append(&mut self.warnings);
        batch
    }

    /// The end: close all flows, cut the last tick, hand over.
    pub(crate) fn finish(mut self, failure: Option<String>) {
        let opened = Some(self.flows.opened());
        while !self.flows.shut_down(&mut self.counters, self.handover.most) {
            self.hand_over(self.begins);
        }
        let clock = self.tick.map_or(0, |tick| (tick + 1) * self.handover.tick);
        let batch = Batch { done: true, failure, opened, ..self.batch(clock) };
        self.queue.push(batch);
    }
}
