//! Names, application and initiator out of the first packets of a TCP flow.
//!
//! Only the first payload packets of each direction are looked at; more of them where the connection
//! may go on as TLS. What spans segments, or whose segments come out of order, is put together by
//! sequence number; the memory for that is bounded for each stream and in all.

use super::budget::Budget;
use super::datagrams::HalfHello;
use super::dns_stream::DnsStream;
use super::record::NONE;
use super::segments::{Stream, MAX_STREAM};
use super::slot::{Confidence, NameSource, Slot, BOTH, GROWN};
use crate::decode::claimed::Claimed;
use crate::decode::http::{self, Head, Request};
use crate::decode::http2::{self, Authority};
use crate::decode::recognise::{self, Sender};
use crate::decode::tls::{self, ClientHello, Flight, Hello};
use crate::decode::{preamble, socks, Application, Fault, Packet};

/// Payload packets of a direction that are looked at.
const FIRST_PACKETS: u8 = 12;
/// The same in a flow whose protocol can go on as TLS: mail servers are chatty before STARTTLS.
const BEFORE_TLS_PACKETS: u8 = 40;
/// Payload packets that a half-read beginning may take.
const READING_PACKETS: u8 = 96;
/// Segments that came too early, kept for each direction.
const EARLY: usize = 8;
/// What an entry of [`Content`] is counted as, besides its bytes.
const OVERHEAD: usize = 256;
/// Bytes of a record with a ClientHello that stand for themselves, whatever follows.
const CERTAIN: usize = 5;

/// What is read where it may span segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    ClientHello,
    Certificate,
    HttpHost,
    Http2Authority,
}

/// What reading came to.
enum Outcome {
    More,
    Hello(ClientHello),
    Certificate(Option<Claimed>),
    Request(Request),
    Authority(Option<Claimed>),
    Nothing,
    Malformed(Fault),
}

/// Half-read streams of a flow.
#[derive(Debug, Default)]
pub(super) struct Content {
    reading: [Option<(Wanted, Stream)>; 2],
    early: [Vec<(u32, Box<[u8]>)>; 2],
    /// Of a connection on a DNS port.
    pub(super) dns: Option<DnsStream>,
    /// Of a UDP flow.
    pub(super) half_hello: Option<Box<HalfHello>>,
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
            let dns = content.dns.map_or(0, |dns| dns.held());
            let half_hello = content.half_hello.map_or(0, |half| half.held());
            budget.release(content.held + dns + half_hello);
        }
    }
}

/// Look at a TCP packet of a flow that is still watched, whose payload begins with the byte of this sequence number.
/// `outgoing`: the local side sent it. Gives a fault to count, if its content is malformed.
pub(super) fn look_at_tcp(
    slot: &mut Slot,
    packet: &Packet<'_>,
    sequence: u32,
    outgoing: bool,
    budget: &mut Budget,
) -> Option<Fault> {
    let direction = usize::from(!outgoing);
    let end = sequence.wrapping_add(packet.payload_bytes as u32);
    let behind = |expected: u32, sequence: u32| (sequence.wrapping_sub(expected) as i32) > 0;
    let ahead = slot.expected(direction).is_some_and(|expected| behind(expected, sequence));
    let repeated = slot.expected(direction).is_some_and(|expected| !behind(expected, end));
    if !ahead && !repeated {
        slot.expect(direction, end);
    }
    slot.looked[direction] = slot.looked[direction].saturating_add(1);
    let reading = slot.content.as_ref().is_some_and(|content| content.reading[direction].is_some());
    let most = match (reading, slot.application) {
        (true, _) => READING_PACKETS,
        (false, Application::Unknown) => FIRST_PACKETS,
        (false, _) => BEFORE_TLS_PACKETS,
    };
    if slot.looked[direction] > most {
        stop(slot, 1 << direction, budget);
        return None;
    }
    let skipped = preamble::length(slot.application, packet.payload);
    let payload = packet.payload.get(skipped..).unwrap_or_default();
    let sequence = sequence.wrapping_add(skipped as u32);
    if reading {
        return go_on(slot, sequence, payload, direction, budget);
    }
    if repeated {
        return None;
    }
    if ahead && !tls::may_start(payload) {
        keep_early(slot, sequence, payload, direction, budget);
        return None;
    }
    let mut fault = look_at(slot, sequence, payload, direction, budget);
    // what came early may follow now
    while let Some((sequence, segment)) = follower(slot, direction) {
        fault = look_at(slot, sequence, &segment, direction, budget).or(fault);
    }
    fault
}

/// Take out an early segment that is early no longer, where no stream is being read.
fn follower(slot: &mut Slot, direction: usize) -> Option<(u32, Box<[u8]>)> {
    let expected = slot.expected(direction)?;
    let content = slot.content.as_mut()?;
    if content.reading[direction].is_some() {
        return None;
    }
    let early = &mut content.early[direction];
    let at = early.iter().position(|(sequence, _)| (sequence.wrapping_sub(expected) as i32) <= 0)?;
    let (sequence, segment) = early.swap_remove(at);
    let end = sequence.wrapping_add(segment.len() as u32);
    if (end.wrapping_sub(expected) as i32) > 0 {
        slot.expect(direction, end);
    }
    Some((sequence, segment))
}

/// Look at a segment of which no stream is being read.
fn look_at(slot: &mut Slot, sequence: u32, payload: &[u8], direction: usize, budget: &mut Budget) -> Option<Fault> {
    if let Some(wanted) = beginning(slot, payload) {
        if wanted == Wanted::ClientHello && payload.len() > CERTAIN {
            recognised(slot, Application::Tls, Sender::Client, direction);
        }
        return match read(wanted, payload) {
            Outcome::More => begin(slot, wanted, sequence, payload, direction, budget),
            outcome => conclude(slot, outcome, direction, budget),
        };
    }
    if slot.application == Application::Unknown {
        if let Some(told) = recognise::segment(payload) {
            recognised(slot, told.application, told.sender, direction);
            if told.application == Application::Socks {
                claim(slot, socks::request(payload), NameSource::Socks);
            }
            if told.application == Application::Http {
                // the client may still say whom it asks
                response(slot, payload);
                stop(slot, 1 << direction, budget);
            } else if !told.tls_may_follow {
                stop(slot, BOTH, budget);
            }
        }
    } else if is_http(slot) && slot.name_source != NameSource::HttpConnect && http::is_response(payload) {
        response(slot, payload);
        stop(slot, 1 << direction, budget);
    }
    None
}

/// What begins with this segment and may span further ones.
fn beginning(slot: &mut Slot, payload: &[u8]) -> Option<Wanted> {
    if tls::may_start(payload) {
        return Some(Wanted::ClientHello);
    }
    if tls::is_server_hello(payload) {
        return Some(Wanted::Certificate);
    }
    let open = slot.application == Application::Unknown || (is_http(slot) && slot.name.is_none());
    if !open {
        None
    } else if http::is_request(payload) {
        Some(Wanted::HttpHost)
    } else if payload.starts_with(http2::PREFACE) {
        Some(Wanted::Http2Authority)
    } else {
        None
    }
}

/// Read what is there of a stream.
fn read(wanted: Wanted, stream: &[u8]) -> Outcome {
    match wanted {
        Wanted::ClientHello => match tls::client_hello(stream) {
            Hello::Found(hello) => Outcome::Hello(hello),
            Hello::More => Outcome::More,
            Hello::No => Outcome::Nothing,
            Hello::Malformed => Outcome::Malformed(Fault::Tls),
        },
        Wanted::Certificate => match tls::server_certificate(stream) {
            Flight::Certificate(name) => Outcome::Certificate(name),
            Flight::More => Outcome::More,
            Flight::No => Outcome::Certificate(None),
        },
        Wanted::HttpHost => match http::request(stream) {
            Head::Request(request) => Outcome::Request(request),
            Head::More => Outcome::More,
            Head::No => Outcome::Nothing,
        },
        Wanted::Http2Authority => match http2::authority(stream) {
            Authority::Found(name) => Outcome::Authority(name),
            Authority::More => Outcome::More,
            Authority::Malformed => Outcome::Authority(None),
        },
    }
}

/// Begin to put a stream together, with the segments that came too early.
fn begin(
    slot: &mut Slot,
    wanted: Wanted,
    sequence: u32,
    payload: &[u8],
    direction: usize,
    budget: &mut Budget,
) -> Option<Fault> {
    // these two are certain from their first line on
    if matches!(wanted, Wanted::HttpHost | Wanted::Http2Authority) {
        recognised(slot, Application::Http, Sender::Client, direction);
    }
    let early = slot.content.as_mut().map(|content| std::mem::take(&mut content.early[direction]));
    let mut stream = Stream::new(sequence);
    stream.add(sequence, payload);
    for (sequence, segment) in early.unwrap_or_default() {
        stream.add(sequence, &segment);
    }
    let Some(content) = room(slot, stream.size(), budget) else {
        stop(slot, 1 << direction, budget);
        return None;
    };
    let outcome = read(wanted, stream.prefix());
    content.reading[direction] = Some((wanted, stream));
    conclude(slot, outcome, direction, budget)
}

/// Add a segment to a half-read stream.
fn go_on(slot: &mut Slot, sequence: u32, payload: &[u8], direction: usize, budget: &mut Budget) -> Option<Fault> {
    let content = slot.content.as_mut()?;
    let (wanted, stream) = content.reading[direction].as_mut()?;
    // what is missing before a segment takes memory as it does
    let before = stream.size();
    stream.add(sequence, payload);
    if !budget.take(&mut content.held, stream.size() - before) {
        stop(slot, 1 << direction, budget);
        return None;
    }
    let outcome = read(*wanted, stream.prefix());
    conclude(slot, outcome, direction, budget)
}

/// Room for so many bytes more of a flow's half-read streams, if the budget has it.
fn room<'s>(slot: &'s mut Slot, size: usize, budget: &mut Budget) -> Option<&'s mut Content> {
    if slot.content.is_none() {
        slot.content = Content::open(budget);
    }
    let content = slot.content.as_deref_mut()?;
    budget.take(&mut content.held, size).then_some(content)
}

/// Keep a segment that came before the one that should precede it.
fn keep_early(slot: &mut Slot, sequence: u32, payload: &[u8], direction: usize, budget: &mut Budget) {
    if slot.content.as_ref().is_some_and(|content| content.early[direction].len() >= EARLY) {
        return;
    }
    let kept = payload.get(..payload.len().min(MAX_STREAM)).unwrap_or_default();
    if let Some(content) = room(slot, kept.len() + OVERHEAD, budget) {
        content.early[direction].push((sequence, kept.into()));
    }
}

/// Take what a stream told.
fn conclude(slot: &mut Slot, outcome: Outcome, direction: usize, budget: &mut Budget) -> Option<Fault> {
    match outcome {
        Outcome::More => {}
        Outcome::Hello(hello) => {
            recognised(slot, Application::Tls, Sender::Client, direction);
            slot.ech = hello.ech;
            slot.ja4 = Some(hello.ja4.0);
            slot.watch |= GROWN;
            let named = hello.name.is_some();
            claim(slot, hello.name, NameSource::Sni);
            // without a name of the client's, the server's certificate may have one
            stop(slot, if named { BOTH } else { 1 << direction }, budget);
        }
        Outcome::Certificate(name) => {
            recognised(slot, Application::Tls, Sender::Server, direction);
            claim(slot, name, NameSource::Certificate);
            // the ClientHello may come later, out of order
            stop(slot, if slot.ja4.is_some() { BOTH } else { 1 << direction }, budget);
        }
        Outcome::Request(request) => {
            recognised(slot, Application::Http, Sender::Client, direction);
            claim(slot, request.host, if request.connect { NameSource::HttpConnect } else { NameSource::HttpHost });
            if request.connect {
                // the stream is read no longer, but a ClientHello may follow
                forget(slot, direction);
            } else {
                // the response may say more of what is spoken
                stop(slot, 1 << direction, budget);
            }
        }
        Outcome::Authority(name) => {
            recognised(slot, Application::Http, Sender::Client, direction);
            claim(slot, name, NameSource::HttpHost);
            stop(slot, BOTH, budget);
        }
        Outcome::Nothing => stop(slot, 1 << direction, budget),
        Outcome::Malformed(fault) => {
            stop(slot, 1 << direction, budget);
            return Some(fault);
        }
    }
    None
}

/// Take what a segment told; the first protocol that is recognised stands.
fn recognised(slot: &mut Slot, application: Application, sender: Sender, direction: usize) {
    if slot.application == Application::Unknown {
        slot.application = application;
    }
    let outgoing = direction == 0;
    match sender {
        Sender::Client => slot.opened_by(outgoing, Confidence::Content),
        Sender::Server => slot.opened_by(!outgoing, Confidence::Content),
        Sender::Either => {}
    }
}

/// An HTTP response can say that what answers is Elasticsearch.
fn response(slot: &mut Slot, payload: &[u8]) {
    if http::is_elasticsearch(payload) {
        slot.application = Application::Elasticsearch;
    }
}

fn is_http(slot: &Slot) -> bool {
    matches!(slot.application, Application::Http | Application::Elasticsearch)
}

/// Look at these directions no longer.
fn stop(slot: &mut Slot, directions: u8, budget: &mut Budget) {
    slot.watch &= !directions;
    for direction in 0..2 {
        if directions & (1 << direction) != 0 {
            forget(slot, direction);
        }
    }
    if slot.watch & BOTH == 0 {
        Content::release(slot.content.take(), budget);
    }
}

/// Drop the half-read stream of a direction; its share of the budget is given back with the flow's.
fn forget(slot: &mut Slot, direction: usize) {
    if let Some(content) = &mut slot.content {
        content.reading[direction] = None;
        content.early[direction].clear();
    }
}

/// Set the name that is claimed: the first claim of a flow stands, but what a server claims gives way
/// to what the client does.
pub(super) fn claim(slot: &mut Slot, name: Option<Claimed>, source: NameSource) {
    let Some(name) = name else { return };
    if slot.name.is_none() || (slot.name_source == NameSource::Certificate && source != NameSource::Certificate) {
        slot.name = Some(name);
        slot.name_source = source;
        slot.name_id = NONE;
        slot.watch |= GROWN;
    }
}

#[cfg(test)]
mod tests {
    use super::{keep_early, stop, Budget, Slot, OVERHEAD};

    #[test]
    fn where_no_room_is_left_nothing_is_kept() {
        let (mut slot, mut budget) = (Slot::EMPTY, Budget { left: OVERHEAD - 1, refused: 0 });
        keep_early(&mut slot, 1, b"early", 0, &mut budget);
        assert!(slot.content.is_none());
        assert_eq!((budget.left, budget.refused), (OVERHEAD - 1, 1));
        // room for what a flow takes in any case, and then for a segment too
        budget.left = 3 * OVERHEAD;
        keep_early(&mut slot, 1, b"early", 0, &mut budget);
        assert_eq!(budget.left, OVERHEAD - b"early".len());
        stop(&mut slot, super::BOTH, &mut budget);
        assert_eq!(budget.left, 3 * OVERHEAD);
    }
}
