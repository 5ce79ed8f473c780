//! Name, application and initiator out of the first datagrams of a UDP flow.
//!
//! A ClientHello in QUIC or DTLS may span packets and datagrams and come in any order. What is half read is
//! kept under the budget of all half-read hellos; how many datagrams are looked at, and how many are
//! decrypted, is bounded for each flow.

use std::ops::ControlFlow;

use super::budget::Budget;
use super::content::{claim, Content};
use super::pieces::Pieces;
use super::shared::Shared;
use super::slot::{Confidence, NameSource, Slot, BOTH, GROWN};
use crate::decode::datagram;
use crate::decode::quic::{self, Keys, Kind, Long};
use crate::decode::recognise::Sender;
use crate::decode::tls::{Hello, MAX_HELLO};
use crate::decode::{dtls, Application, Fault, Packet};

/// Datagrams of a direction that are looked at.
const FIRST_DATAGRAMS: u8 = 8;
/// The same while a hello is half read, or one may follow: ICE sends many STUN messages before DTLS.
const HELLO_DATAGRAMS: u8 = 32;
/// Initials of a flow that are decrypted once one of them was authentic.
const MAX_OPENED: u8 = 16;
/// What a half-read hello is counted as, besides its bytes.
const OVERHEAD: usize = 256;

/// A half-read ClientHello.
#[derive(Debug, Default)]
pub(super) struct HalfHello {
    /// Direction of the client.
    client: usize,
    message: Pieces,
    /// DTLS: the number of the message that the pieces belong to.
    sequence: u16,
    /// QUIC: the connection that the Initials belong to.
    connection: Option<Connection>,
    /// QUIC: Initials that were decrypted, or were tried.
    opened: u8,
    /// What was taken out of the budget.
    held: usize,
}

/// The first flight of a QUIC client. Its later Initials go to the id that the server chose, but are
/// protected with keys of the first (RFC 9001 section 5.2).
#[derive(Debug)]
struct Connection {
    version: u32,
    keys: Keys,
}

impl HalfHello {
    /// Nothing of a hello, in this memory.
    fn emptied(mut self: Box<HalfHello>) -> Box<HalfHello> {
        let mut message = std::mem::take(&mut self.message);
        message.clear();
        *self = HalfHello { message, ..HalfHello::default() };
        self
    }

    /// What it holds, to be given back to the budget.
    pub(super) fn held(&self) -> usize {
        self.held
    }
}

/// Look at a datagram of a flow that is still watched. `outgoing`: the local side sent it.
/// Gives a fault to count, if its content is malformed.
#[inline(never)]
pub(super) fn look_at_udp(slot: &mut Slot, packet: &Packet<'_>, outgoing: bool, shared: &mut Shared) -> Option<Fault> {
    if packet.payload.is_empty() {
        return None;
    }
    let direction = usize::from(!outgoing);
    let patient = slot.content.is_some() || slot.application == Application::Stun;
    let looked = slot.looked.get_mut(direction)?;
    *looked = looked.saturating_add(1);
    if *looked > if patient { HELLO_DATAGRAMS } else { FIRST_DATAGRAMS } {
        slot.watch &= !(1 << direction);
        if slot.watch & BOTH == 0 || patient {
            stop_watching(slot, &mut shared.budget);
        }
        return None;
    }
    let cut = (packet.payload.len() as u64) < packet.payload_bytes;
    let mut fault = None;
    match packet.payload.first() {
        Some(0x80..) => fault = look_at_quic(slot, packet.payload, cut, direction, shared),
        // RFC 7983 section 7 gives DTLS these
        Some(20..=63) if look_at_dtls(slot, packet.payload, cut, direction, &mut fault, &mut shared.budget) => {}
        _ if quic::is_googles(packet.payload) => recognise(slot, Application::Quic),
        _ => look_at_others(slot, packet, direction, &mut shared.budget),
    }
    fault
}

/// What one datagram tells.
fn look_at_others(slot: &mut Slot, packet: &Packet<'_>, direction: usize, budget: &mut Budget) {
    if slot.application != Application::Unknown {
        return;
    }
    let ports = (packet.source_port, packet.destination_port);
    let Some((application, sender)) = datagram::application(packet.payload, packet.payload_bytes, ports) else {
        return;
    };
    slot.application = application;
    if sender != Sender::Either {
        slot.opened_by((direction == 0) == (sender == Sender::Client), Confidence::Content);
    }
    if application != Application::Stun {
        stop_watching(slot, budget);
    }
}

/// The packets with long headers in a datagram.
fn look_at_quic(slot: &mut Slot, payload: &[u8], cut: bool, direction: usize, shared: &mut Shared) -> Option<Fault> {
    let mut found = quic::is_googles(payload) || (cut && quic::begins_long(payload));
    let mut told = None;
    for packet in quic::packets(payload) {
        found = true;
        match packet.kind {
            Kind::Initial => {
                if let ControlFlow::Break(end) = read_initial(slot, &packet, direction, shared) {
                    told = end;
                    break;
                }
            }
            Kind::ZeroRtt => slot.opened_by(direction == 0, Confidence::Content),
            Kind::Retry | Kind::VersionNegotiation => slot.opened_by(direction != 0, Confidence::Content),
            Kind::Handshake => {}
        }
    }
    if found {
        recognise(slot, Application::Quic);
    }
    conclude(slot, told?, NameSource::QuicSni, direction, &mut shared.budget)
}

/// Decrypt an Initial, if it is the client's, and add what it holds of the ClientHello. Breaks where the
/// rest of the datagram needs no look, with what the hello is if that is decided.
fn read_initial(
    slot: &mut Slot,
    packet: &Long<'_>,
    direction: usize,
    shared: &mut Shared,
) -> ControlFlow<Option<Hello>> {
    let Shared { opener, budget, spare_hello, .. } = shared;
    let mut half = match slot.content.as_mut().and_then(|content| content.half_hello.take()) {
        Some(half) if half.client != direction => {
            // the server's, which tells nothing more
            keep(slot, half, budget);
            return ControlFlow::Break(None);
        }
        Some(half) => half,
        None => {
            let mut half = spare_hello.take().unwrap_or_default();
            half.client = direction;
            half
        }
    };
    if half.opened >= MAX_OPENED {
        budget.release(half.held);
        return ControlFlow::Break(Some(Hello::No));
    }
    half.opened += 1;
    let connection = half.connection.take().filter(|connection| connection.version == packet.version);
    let mut frames = connection.as_ref().and_then(|connection| opener.open(packet, &connection.keys));
    half.connection = connection;
    if frames.is_none() {
        // the first one; or one to another id and so under other keys, after a Retry or with another version
        let keys = Keys::of_client(packet.version, packet.dcid);
        frames = keys.as_ref().and_then(|keys| opener.open(packet, keys));
        if let (Some(keys), Some(_)) = (keys, frames) {
            half.message.clear();
            half.connection = Some(Connection { version: packet.version, keys });
        }
    }
    let Some(frames) = frames else {
        // not authentic: the server's, or of a client whose first Initial was not seen
        if half.connection.is_some() {
            keep(slot, half, budget);
        } else {
            budget.release(half.held);
            *spare_hello = Some(half.emptied());
        }
        return ControlFlow::Break(None);
    };
    slot.opened_by(direction == 0, Confidence::Content);
    let mut fits = true;
    let read = quic::crypto(packet.version, frames, |offset, bytes| {
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        fits &= half.message.add(offset, bytes, MAX_HELLO);
    });
    let told = match quic::client_hello(half.message.prefix()) {
        Hello::More if read.is_err() => Hello::Malformed,
        Hello::More if !fits => Hello::No,
        told => told,
    };
    if told == Hello::More {
        keep(slot, half, budget);
        return ControlFlow::Continue(());
    }
    budget.release(half.held);
    *spare_hello = Some(half.emptied());
    ControlFlow::Break(Some(told))
}

/// The records in a datagram; false where it is no DTLS.
fn look_at_dtls(
    slot: &mut Slot,
    payload: &[u8],
    cut: bool,
    direction: usize,
    fault: &mut Option<Fault>,
    budget: &mut Budget,
) -> bool {
    // all of it must hold before any of it counts
    if !dtls::fragments(payload, cut, |_| {}) {
        return false;
    }
    recognise(slot, Application::Dtls);
    let mut told = None;
    dtls::fragments(payload, cut, |fragment| match fragment.kind {
        dtls::message::CLIENT_HELLO if told.is_none() => told = add_fragment(slot, &fragment, direction, budget),
        dtls::message::SERVER_HELLO | dtls::message::HELLO_VERIFY_REQUEST => {
            slot.opened_by(direction != 0, Confidence::Content);
        }
        _ => {}
    });
    *fault = told.and_then(|told| conclude(slot, told, NameSource::DtlsSni, direction, budget));
    true
}

/// Add a fragment of a ClientHello; tells what that is, once it is decided.
fn add_fragment(
    slot: &mut Slot,
    fragment: &dtls::Fragment<'_>,
    direction: usize,
    budget: &mut Budget,
) -> Option<Hello> {
    if fragment.bytes.len() == fragment.length {
        return Some(dtls::client_hello(fragment.bytes));
    }
    if fragment.length > MAX_HELLO {
        return Some(Hello::Malformed);
    }
    let mut half = slot.content.as_mut().and_then(|content| content.half_hello.take()).unwrap_or_default();
    if half.sequence != fragment.sequence || half.client != direction {
        half.message.clear();
        (half.sequence, half.client) = (fragment.sequence, direction);
    }
    let fits = half.message.add(fragment.offset, fragment.bytes, fragment.length);
    let told = match half.message.prefix() {
        whole if whole.len() == fragment.length => dtls::client_hello(whole),
        _ if !fits => Hello::No,
        _ => Hello::More,
    };
    if told == Hello::More {
        keep(slot, half, budget);
        return None;
    }
    budget.release(half.held);
    Some(told)
}

/// Keep a half-read hello with its flow, if the budget has room for it.
fn keep(slot: &mut Slot, mut half: Box<HalfHello>, budget: &mut Budget) {
    if slot.content.is_none() {
        slot.content = Content::open(budget);
    }
    let Some(content) = &mut slot.content else { return };
    half.message.shrink();
    let more = (OVERHEAD + half.message.size()).saturating_sub(half.held);
    if budget.take(&mut half.held, more) {
        content.half_hello = Some(half);
    } else {
        budget.release(half.held);
    }
}

/// Take what a hello told.
fn conclude(slot: &mut Slot, told: Hello, source: NameSource, direction: usize, budget: &mut Budget) -> Option<Fault> {
    let malformed = told == Hello::Malformed;
    if let Hello::Found(hello) = told {
        slot.opened_by(direction == 0, Confidence::Content);
        slot.ech = hello.ech;
        slot.ja4 = Some(hello.ja4.0);
        slot.watch |= GROWN;
        claim(slot, hello.name, source);
    }
    stop_watching(slot, budget);
    malformed.then_some(Fault::Tls)
}

/// Set what is spoken; STUN only prepares a path for something else.
fn recognise(slot: &mut Slot, application: Application) {
    if matches!(slot.application, Application::Unknown | Application::Stun) {
        slot.application = application;
    }
}

/// Nothing more is to be learnt from this flow.
fn stop_watching(slot: &mut Slot, budget: &mut Budget) {
    slot.watch &= !BOTH;
    Content::release(slot.content.take(), budget);
}
