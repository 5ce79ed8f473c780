//! What a packet changes in its flow: who opened it, what it says, how it ends; and what is counted.

use super::content::{look_at_tcp, Content};
use super::datagrams::look_at_udp;
use super::inspect::inspect;
use super::key::mapped;
use super::questions::{Message, Read};
use super::shared::{Arrival, Shared};
use super::slot::{Confidence, Ending, Slot, INSPECTED, ON_DNS_PORT, SAMPLED};
use crate::counters::Counters;
use crate::decode::{tcp_flag, Addresses, Application, Fault, Packet};

/// Count a frame's bytes: the law of design section 4. `direction` is the index of arrays by direction.
#[inline(always)]
pub(super) fn account(scope: usize, direction: usize, arrival: Arrival<'_>, counters: &mut Counters) {
    let packet = arrival.packet;
    let wire = u64::from(arrival.wire);
    let headers = u64::from(packet.link_bytes);
    let ip_bytes = u64::from(packet.ip_bytes);
    let claimed = headers + ip_bytes;
    if claimed > wire {
        counters.overclaimed_bytes += claimed - wire;
        counters.overhead_bytes += headers;
    } else {
        counters.overhead_bytes += wire - ip_bytes;
    }
    if let (Some(sum), Some(frames)) =
        (counters.scope_bytes[direction].get_mut(scope), counters.scope_frames.get_mut(scope))
    {
        *sum += ip_bytes;
        *frames += 1;
    }
    if let Some(fault) = packet.fault {
        counters.faults[fault.index()] += 1;
    }
}

/// Whether a packet begins or ends a TCP connection.
#[inline(always)]
pub(super) fn turns(packet: &Packet<'_>) -> bool {
    packet.tcp_flags & (tcp_flag::SYN | tcp_flag::FIN | tcp_flag::RST) != 0
}

/// Whether a packet is one of those that are looked at for what must not go out.
#[inline(always)]
fn is_inspected(slot: &Slot, packet: &Packet<'_>, outgoing: bool) -> bool {
    outgoing && slot.watch & (INSPECTED | SAMPLED) != 0 && !packet.payload.is_empty() && !packet.fragment
}

/// A TCP segment that its flow wants to see. In what goes out in clear most are inspected, and change nothing else.
#[inline(never)]
pub(super) fn segment(
    slot: &mut Slot,
    arrival: &Arrival<'_>,
    outgoing: bool,
    shared: &mut Shared,
    counters: &mut Counters,
) {
    let packet = arrival.packet;
    let direction = usize::from(!outgoing);
    let is_read = slot.watch & (ON_DNS_PORT | 1 << direction) != 0;
    if is_read || turns(packet) || slot.expected(direction).is_none() {
        tcp(slot, arrival, outgoing, shared, counters);
    } else if is_inspected(slot, packet, outgoing) {
        inspect(slot, packet, &mut shared.inspections, shared.limits.inspected);
    }
}

/// Handshake, content and end of a TCP flow.
#[inline(never)]
fn tcp(slot: &mut Slot, arrival: &Arrival<'_>, outgoing: bool, shared: &mut Shared, counters: &mut Counters) {
    let packet = arrival.packet;
    let flags = packet.tcp_flags;
    let direction = usize::from(!outgoing);
    if flags & tcp_flag::SYN != 0 {
        let opener = if flags & tcp_flag::ACK == 0 { outgoing } else { !outgoing };
        slot.opened_by(opener, Confidence::Handshake);
        slot.expect(direction, packet.sequence.wrapping_add(1));
    }
    if slot.watch & ON_DNS_PORT != 0 && !packet.payload.is_empty() && !packet.fragment {
        dns_segment(slot, arrival, outgoing, shared, counters);
    } else if slot.watch & (1 << direction) != 0 && !packet.payload.is_empty() && !packet.fragment {
        // data in a SYN (RFC 7413) stands behind the SYN itself
        let sequence = packet.sequence.wrapping_add(u32::from(flags & tcp_flag::SYN != 0));
        if let Some(fault) = look_at_tcp(slot, packet, sequence, outgoing, &mut shared.budget) {
            counters.faults[fault.index()] += 1;
        }
    } else if slot.expected(direction).is_none() && !packet.fragment {
        slot.expect(direction, packet.sequence.wrapping_add(packet.payload_bytes as u32));
    }
    if is_inspected(slot, packet, outgoing) {
        inspect(slot, packet, &mut shared.inspections, shared.limits.inspected);
    }
    if flags & (tcp_flag::FIN | tcp_flag::RST) != 0 && slot.ended.is_none() {
        if flags & tcp_flag::FIN != 0 {
            slot.fins |= 1 << direction;
        }
        slot.ended = match (flags & tcp_flag::RST != 0, slot.fins) {
            (true, _) => Some(Ending::Rst),
            (_, 0b11) => Some(Ending::Fin),
            _ => None,
        };
        slot.ended_at = arrival.time;
    }
}

/// Content of a UDP flow that is still watched.
#[inline(never)]
pub(super) fn udp(slot: &mut Slot, packet: &Packet<'_>, outgoing: bool, shared: &mut Shared, counters: &mut Counters) {
    if slot.watch & (1 << u8::from(!outgoing)) != 0 {
        if let Some(fault) = look_at_udp(slot, packet, outgoing, shared) {
            counters.faults[fault.index()] += 1;
        }
    }
    if is_inspected(slot, packet, outgoing) {
        inspect(slot, packet, &mut shared.inspections, shared.limits.inspected);
    }
}

/// A DNS message in a UDP flow on a DNS port; or what hides behind that port, often open where others are not.
#[inline(never)]
pub(super) fn dns_datagram(
    slot: &mut Slot,
    arrival: &Arrival<'_>,
    outgoing: bool,
    shared: &mut Shared,
    counters: &mut Counters,
) {
    let whole = arrival.packet.payload.len() as u64 == arrival.packet.payload_bytes;
    let length = arrival.packet.payload_bytes.min(u64::from(u32::MAX)) as u32;
    let read = dns_message(slot, arrival, arrival.packet.payload, length, shared);
    // a message that the capture cut off is not the sender's fault
    if whole && matches!(read, Read::Malformed(_)) {
        counters.faults[Fault::Dns.index()] += 1;
    }
    understood(slot, &read, outgoing);
    if read == Read::NotDns {
        udp(slot, arrival.packet, outgoing, shared, counters);
    }
}

/// DNS messages in a segment of a TCP flow on a DNS port.
fn dns_segment(slot: &mut Slot, arrival: &Arrival<'_>, outgoing: bool, shared: &mut Shared, counters: &mut Counters) {
    let Some(mut content) = slot.content.take().or_else(|| Content::open(&mut shared.budget)) else { return };
    let mut stream = content.dns.take().unwrap_or_default();
    let mut budget = std::mem::take(&mut shared.budget);
    let packet = arrival.packet;
    stream.take(usize::from(!outgoing), packet.sequence, packet.payload, &mut budget, |message| {
        let read = dns_message(slot, arrival, message, message.len() as u32, shared);
        counters.faults[Fault::Dns.index()] += u64::from(matches!(read, Read::Malformed(_)));
        understood(slot, &read, outgoing);
    });
    shared.budget = budget;
    content.dns = Some(stream);
    slot.content = Some(content);
}

/// Read one message of a flow into rows. Its ends are those of the packet that brought it, or the rest of it.
fn dns_message(slot: &Slot, arrival: &Arrival<'_>, bytes: &[u8], length: u32, shared: &mut Shared) -> Read {
    let packet = arrival.packet;
    let (source, destination) = match packet.addresses {
        Addresses::V4 { source, destination } => (mapped(source), mapped(destination)),
        Addresses::V6 { source, destination } => (source, destination),
    };
    let message = Message {
        tick: shared.tick * shared.tick_length,
        time: arrival.time,
        scope: slot.scope,
        source: (source, packet.source_port),
        destination: (destination, packet.destination_port),
        bytes,
        length,
    };
    shared.questions.read(&message, &mut shared.builder.batch.dns)
}

/// What a DNS message tells of its flow.
fn understood(slot: &mut Slot, read: &Read, outgoing: bool) {
    if let Read::Message(question) | Read::Malformed(question) = read {
        slot.application = Application::Dns;
        slot.opened_by(*question == outgoing, Confidence::Content);
    }
}
