//! Names and initiator out of the first packets of a flow.
//!
//! Only the first payload packets of each direction are looked at. A ClientHello that spans segments,
//! or whose segments come out of order, is put together by sequence number; the memory for that is
//! bounded for each stream and in all.

use std::sync::Arc;

use super::budget::Budget;
use super::dns_stream::DnsStream;
use super::key::Key;
use super::slot::{Confidence, NameSource, Slot};
use crate::decode::http;
use crate::decode::tls::{self, Hello, MAX_HELLO};
use crate::decode::{Application, Fault, Packet};

/// Payload packets of a direction that are looked at; enough for STARTTLS, CONNECT and SSLRequest.
const FIRST_PACKETS: u8 = 12;
/// Payload packets that a half-read ClientHello may take.
const HELLO_PACKETS: u8 = 96;
/// Segments that came too early, kept for each direction.
const EARLY: usize = 8;
/// What an entry of [`Content`] is counted as, besides its bytes.
const OVERHEAD: usize = 256;

/// A stream in one direction of which the start is there.
#[derive(Debug, Default)]
struct Stream {
    start: u32,
    bytes: Vec<u8>,
    /// Ranges of `bytes` that are filled, sorted, apart.
    filled: Vec<(usize, usize)>,
}

/// Half-read streams of a flow.
#[derive(Debug, Default)]
pub(super) struct Content {
    hello: [Option<Stream>; 2],
    early: [Vec<(u32, Box<[u8]>)>; 2],
    /// Of a connection on a DNS port.
    pub(super) dns: Option<DnsStream>,
    /// What was taken out of the budget.
    held: usize,
}

impl Content {
    /// Room for the streams of one more flow, if the budget has it.
    pub(super) fn open(budget: &mut Budget) -> Option<Box<Content>> {
        let mut content = Box::<Content>::default();
        budget.take(&mut content.held, OVERHEAD).then_some(content)
    }

    /// Give back what a flow's half-read streams held.
    pub(super) fn release(content: Option<Box<Content>>, budget: &mut Budget) {
        if let Some(content) = content {
            budget.release(content.held + content.dns.map_or(0, |dns| dns.held()));
        }
    }
}

impl Stream {
    /// Put a segment in its place; a byte that is there stays, as most hosts have it.
    fn add(&mut self, sequence: u32, segment: &[u8]) {
        let offset = sequence.wrapping_sub(self.start) as usize;
        if offset >= MAX_HELLO {
            return;
        }
        let segment = segment.get(..segment.len().min(MAX_HELLO - offset)).unwrap_or_default();
        let end = offset + segment.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        let mut at = offset;
        for (from, to) in self.filled.clone() {
            if from > at && at < end {
                self.copy(at, from.min(end), offset, segment);
            }
            at = at.max(to);
        }
        if at < end {
            self.copy(at, end, offset, segment);
        }
        self.filled.push((offset, end));
        self.filled.sort_unstable();
        let mut joined: Vec<(usize, usize)> = Vec::with_capacity(self.filled.len());
        for (from, to) in self.filled.drain(..) {
            match joined.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        self.filled = joined;
    }

    fn copy(&mut self, from: usize, to: usize, offset: usize, segment: &[u8]) {
        if let (Some(place), Some(part)) = (self.bytes.get_mut(from..to), segment.get(from - offset..to - offset)) {
            place.copy_from_slice(part);
        }
    }

    /// What is there from the start on without a hole.
    fn prefix(&self) -> &[u8] {
        match self.filled.first() {
            Some((0, end)) => self.bytes.get(..*end).unwrap_or_default(),
            _ => &[],
        }
    }
}

/// Look at a TCP packet of a flow that is still watched. `outgoing`: the local side sent it.
/// Gives a fault to count, if its content is malformed.
pub(super) fn look_at_tcp<K: Key>(
    slot: &mut Slot<K>,
    packet: &Packet<'_>,
    outgoing: bool,
    budget: &mut Budget,
) -> Option<Fault> {
    let direction = usize::from(!outgoing);
    let skipped = proxy_header(packet.payload);
    let payload = packet.payload.get(skipped..).unwrap_or_default();
    let sequence = packet.sequence.wrapping_add(skipped as u32);
    let expected = slot.expected[direction];
    let ahead = expected.is_some_and(|expected| (sequence.wrapping_sub(expected) as i32) > 0);
    if !ahead {
        slot.expected[direction] = Some(sequence.wrapping_add(packet.payload_bytes as u32));
    }
    slot.looked[direction] = slot.looked[direction].saturating_add(1);
    let reading = slot.content.as_ref().is_some_and(|content| content.hello[direction].is_some());
    if slot.looked[direction] > if reading { HELLO_PACKETS } else { FIRST_PACKETS } {
        stop_watching(slot, direction, budget);
        return None;
    }
    if reading {
        return go_on(slot, sequence, payload, direction, budget);
    }
    if tls::may_start(payload) {
        return match tls::client_hello(payload) {
            Hello::More => begin(slot, sequence, payload, direction, budget),
            told => conclude(slot, told, direction, budget),
        };
    }
    if ahead {
        keep_early(slot, sequence, payload, direction, budget);
        return None;
    }
    other_protocols(slot, payload, outgoing);
    None
}

/// Begin to put a ClientHello together, with the segments that came too early.
fn begin<K: Key>(
    slot: &mut Slot<K>,
    sequence: u32,
    payload: &[u8],
    direction: usize,
    budget: &mut Budget,
) -> Option<Fault> {
    let content = slot.content.get_or_insert_with(Box::default);
    if !budget.take(&mut content.held, payload.len() + OVERHEAD) {
        stop_watching(slot, direction, budget);
        return None;
    }
    let mut stream = Stream { start: sequence, ..Stream::default() };
    stream.add(sequence, payload);
    for (sequence, segment) in std::mem::take(&mut content.early[direction]) {
        stream.add(sequence, &segment);
    }
    let told = tls::client_hello(stream.prefix());
    content.hello[direction] = Some(stream);
    conclude(slot, told, direction, budget)
}

/// Add a segment to a half-read ClientHello.
fn go_on<K: Key>(
    slot: &mut Slot<K>,
    sequence: u32,
    payload: &[u8],
    direction: usize,
    budget: &mut Budget,
) -> Option<Fault> {
    let content = slot.content.as_mut()?;
    if !budget.take(&mut content.held, payload.len()) {
        stop_watching(slot, direction, budget);
        return None;
    }
    let stream = content.hello[direction].as_mut()?;
    stream.add(sequence, payload);
    let told = tls::client_hello(stream.prefix());
    conclude(slot, told, direction, budget)
}

/// Keep a segment that came before the one that should precede it.
fn keep_early<K: Key>(slot: &mut Slot<K>, sequence: u32, payload: &[u8], direction: usize, budget: &mut Budget) {
    let content = slot.content.get_or_insert_with(Box::default);
    let kept = payload.get(..payload.len().min(MAX_HELLO)).unwrap_or_default();
    if content.early[direction].len() < EARLY && budget.take(&mut content.held, kept.len() + OVERHEAD) {
        content.early[direction].push((sequence, kept.into()));
    }
}

/// Take what the stream told.
fn conclude<K: Key>(slot: &mut Slot<K>, told: Hello, direction: usize, budget: &mut Budget) -> Option<Fault> {
    match told {
        Hello::More => None,
        Hello::Found(hello) => {
            slot.application = Application::Tls;
            slot.opened_by(direction == 0, Confidence::Content);
            slot.ech = hello.ech;
            slot.ja4 = Some(Arc::from(hello.ja4.as_str()));
            if let Some(name) = hello.name {
                claim(slot, &name, NameSource::Sni);
            }
            slot.watch = 0;
            Content::release(slot.content.take(), budget);
            None
        }
        Hello::No | Hello::Malformed => {
            stop_watching(slot, direction, budget);
            (told == Hello::Malformed).then_some(Fault::Tls)
        }
    }
}

fn stop_watching<K: Key>(slot: &mut Slot<K>, direction: usize, budget: &mut Budget) {
    slot.watch &= !(1 << direction);
    if let Some(content) = &mut slot.content {
        content.hello[direction] = None;
        content.early[direction].clear();
    }
    if slot.watch == 0 {
        Content::release(slot.content.take(), budget);
    }
}

/// Set the name that the client claims: the first claim of a flow stands.
fn claim<K: Key>(slot: &mut Slot<K>, name: &str, source: NameSource) {
    if slot.name.is_none() {
        slot.name = Some(Arc::from(name));
        slot.name_source = source;
    }
}

/// Length of a PROXY protocol header (haproxy, versions 1 and 2) that a load balancer puts in front.
fn proxy_header(payload: &[u8]) -> usize {
    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
    const V1_MAX: usize = 107;
    if payload.starts_with(b"PROXY ") {
        let line = payload.get(..payload.len().min(V1_MAX)).unwrap_or_default();
        return line.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    }
    match payload.get(14..16) {
        Some([high, low]) if payload.starts_with(V2) => 16 + usize::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    }
}

/// What starts with plain text.
fn other_protocols<K: Key>(slot: &mut Slot<K>, payload: &[u8], outgoing: bool) {
    if slot.application != Application::Unknown {
        return;
    }
    if let Some(request) = http::request(payload) {
        slot.application = Application::Http;
        slot.opened_by(outgoing, Confidence::Content);
        if let Some(host) = request.host {
            claim(slot, &host, if request.connect { NameSource::HttpConnect } else { NameSource::HttpHost });
        }
    } else if http::is_response(payload) {
        slot.application = Application::Http;
        slot.opened_by(!outgoing, Confidence::Content);
    } else if payload.starts_with(b"SSH-") {
        slot.application = Application::Ssh;
    } else if payload.len() > 5 && payload.starts_with(&[22, 3]) && payload.get(5) == Some(&2) {
        // a ServerHello whose ClientHello was not seen
        slot.application = Application::Tls;
        slot.opened_by(!outgoing, Confidence::Content);
    }
}
