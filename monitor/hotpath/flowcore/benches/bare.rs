//! The practical limit: the least that a program which counts flows and sees names can do to a capture.
//!
//! A classic little-endian pcap of Ethernet frames is read in pieces of 1 MiB; headers are parsed, each packet is booked in an
//! open-addressed table of one cache line a flow, DNS messages are counted and the server names of
//! ClientHellos that fit in one segment are looked up. No ticks, no rows, no timeouts, no tunnels,
//! no fragments, nothing put together, nothing that must hold. `make bench` shows what our own line
//! costs beside it: `cargo run --release --example bare CAPTURE`.

#![allow(missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::io::{self, Read};

/// Bytes that are read at a time.
const PIECE: usize = 1 << 20;
/// Packets whose flows are brought near before the first is booked.
const AHEAD: usize = 32;
const RECORD_HEADER: usize = 16;

/// A flow: one cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Flow {
    /// IPv4: addresses, ports, protocol. IPv6: a hash of them. 0: no flow.
    key: u128,
    bytes: [u64; 2],
    packets: [u32; 2],
    last_seen: u64,
    named: bool,
}

/// What is known of a packet before its flow is looked at.
#[derive(Clone, Copy, Default)]
struct Parsed<'a> {
    key: u128,
    hash: u64,
    direction: usize,
    bytes: u64,
    time: u64,
    dns: bool,
    payload: &'a [u8],
}

#[derive(Default)]
struct Totals {
    packets: u64,
    other: u64,
    dns: u64,
    names: u64,
}

struct Flows {
    slots: Vec<Flow>,
    used: usize,
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ (product >> 64) as u64
}

fn be16(data: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(data.get(at..at + 2)?.try_into().ok()?))
}

fn parse(frame: &[u8], time: u64) -> Option<Parsed<'_>> {
    let mut at = 14;
    let mut ethertype = be16(frame, 12)?;
    while ethertype == 0x8100 || ethertype == 0x88a8 {
        ethertype = be16(frame, at + 2)?;
        at += 4;
    }
    let packet = frame.get(at..)?;
    let (low, high, key, protocol, header, bytes) = match ethertype {
        0x0800 => {
            let head: &[u8; 20] = packet.get(..20)?.try_into().ok()?;
            let source = u32::from_be_bytes([head[12], head[13], head[14], head[15]]);
            let destination = u32::from_be_bytes([head[16], head[17], head[18], head[19]]);
            let bytes = u16::from_be_bytes([head[2], head[3]]);
            let fragment = u16::from_be_bytes([head[6], head[7]]) & 0x1fff;
            let protocol = if fragment == 0 { head[9] } else { 0 };
            (u128::from(source), u128::from(destination), 0, protocol, usize::from(head[0] & 15) * 4, bytes)
        }
        0x86dd => {
            let head: &[u8; 40] = packet.get(..40)?.try_into().ok()?;
            let source = u128::from_be_bytes(head[8..24].try_into().ok()?);
            let destination = u128::from_be_bytes(head[24..40].try_into().ok()?);
            (source, destination, 1, head[6], 40, u16::from_be_bytes([head[4], head[5]]).saturating_add(40))
        }
        _ => return None,
    };
    let upper = packet.get(header..)?;
    let (sport, dport, above) = match protocol {
        6 => (be16(upper, 0)?, be16(upper, 2)?, usize::from(upper.get(12)? >> 4) * 4),
        17 => (be16(upper, 0)?, be16(upper, 2)?, 8),
        _ => (0, 0, 0),
    };
    let forward = (low, sport) <= (high, dport);
    let (a, b, p, q) = if forward { (low, high, sport, dport) } else { (high, low, dport, sport) };
    let ports = (u64::from(p) << 32) | (u64::from(q) << 16) | u64::from(protocol);
    let (key, hash) = if key == 0 {
        let ends = ((a as u64) << 32) | b as u64;
        (
            (u128::from(ends) << 64) | u128::from(ports),
            fold(ends ^ 0x243f_6a88_85a3_08d3, ports ^ 0x1319_8a2e_0370_7344),
        )
    } else {
        let one = fold(a as u64 ^ 0x243f_6a88_85a3_08d3, (a >> 64) as u64 ^ 0xa409_3822_299f_31d0);
        let two = fold(b as u64 ^ one, (b >> 64) as u64 ^ 0x1319_8a2e_0370_7344);
        let three = fold(two ^ ports, 0x082e_fa98_ec4e_6c89);
        ((u128::from(two) << 64) | u128::from(three | 1 << 63), three)
    };
    Some(Parsed {
        key,
        hash,
        direction: usize::from(!forward),
        bytes: u64::from(bytes),
        time,
        dns: sport == 53 || dport == 53,
        payload: upper.get(above..).unwrap_or_default(),
    })
}

/// Length of the server name in a ClientHello that is whole (RFC 8446 section 4.1.2, RFC 6066 section 3).
fn server_name(record: &[u8]) -> Option<usize> {
    let mut at = 43;
    at += 1 + usize::from(*record.get(at)?);
    at += 2 + usize::from(be16(record, at)?);
    at += 1 + usize::from(*record.get(at)?) + 2;
    loop {
        let length = usize::from(be16(record, at + 2)?);
        if be16(record, at)? == 0 {
            return record.get(at + 9..at + 4 + length).map(<[u8]>::len);
        }
        at += 4 + length;
    }
}

impl Flows {
    fn home(&self, hash: u64) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn book(&mut self, packet: &Parsed<'_>, totals: &mut Totals) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(packet.hash);
        while self.slots[at].key != packet.key {
            if self.slots[at].key == 0 {
                self.used += 1;
                self.slots[at].key = packet.key;
                break;
            }
            at = (at + 1) & mask;
        }
        let flow = &mut self.slots[at];
        flow.bytes[packet.direction] += packet.bytes;
        flow.packets[packet.direction] += 1;
        flow.last_seen = packet.time;
        if packet.dns {
            totals.dns += u64::from(packet.payload.len() > 12);
        } else if !flow.named && packet.payload.starts_with(&[22, 3]) && packet.payload.get(5) == Some(&1) {
            flow.named = true;
            totals.names += u64::from(server_name(packet.payload).is_some());
        }
        if self.used * 2 > self.slots.len() {
            self.grow();
        }
    }

    fn grow(&mut self) {
        let larger = vec![Flow::default(); self.slots.len() * 2];
        let old = std::mem::replace(&mut self.slots, larger);
        let mask = self.slots.len() - 1;
        for flow in old.into_iter().filter(|flow| flow.key != 0) {
            // the home only has to be the same for the same key
            let mut at = self.home(rehash(flow.key));
            while self.slots[at].key != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = flow;
        }
    }
}

/// The hash of a key, from the key alone.
fn rehash(key: u128) -> u64 {
    let (high, low) = ((key >> 64) as u64, key as u64);
    if low >> 63 == 1 {
        return low & !(1 << 63);
    }
    fold(high ^ 0x243f_6a88_85a3_08d3, low ^ 0x1319_8a2e_0370_7344)
}

fn main() -> io::Result<()> {
    let path = std::env::args().nth(1).ok_or_else(|| io::Error::other("usage: bare CAPTURE.pcap"))?;
    let mut file = File::open(path)?;
    let mut buffer = vec![0_u8; PIECE];
    let mut flows = Flows { slots: vec![Flow::default(); 1 << 16], used: 0 };
    let mut totals = Totals::default();
    let (mut start, mut end, mut header) = (0, 0, 24);
    loop {
        let memory = &buffer[start..end];
        let mut at = header;
        let mut burst = [Parsed::default(); AHEAD];
        let mut count = 0;
        loop {
            let record = memory.get(at..at + RECORD_HEADER);
            let frame = record.and_then(|record| {
                let field =
                    |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
                let data = memory.get(at + RECORD_HEADER..at + RECORD_HEADER + field(8) as usize)?;
                Some((data, u64::from(field(0)) * 1_000_000 + u64::from(field(4))))
            });
            if let Some((frame, time)) = frame {
                at += RECORD_HEADER + frame.len();
                totals.packets += 1;
                match parse(frame, time) {
                    Some(parsed) => {
                        burst[count] = parsed;
                        count += 1;
                    }
                    None => totals.other += 1,
                }
            }
            if count == AHEAD || (frame.is_none() && count > 0) {
                for packet in &burst[..count] {
                    black_box(flows.slots[flows.home(packet.hash)].packets[0]);
                }
                for packet in &burst[..count] {
                    flows.book(packet, &mut totals);
                }
                count = 0;
            }
            if frame.is_none() {
                break;
            }
        }
        header = at.saturating_sub(memory.len());
        start += at.min(memory.len());
        buffer.copy_within(start..end, 0);
        (start, end) = (0, end - start);
        if end == buffer.len() {
            buffer.resize(2 * end, 0);
        }
        match file.read(&mut buffer[end..])? {
            0 => break,
            read => end += read,
        }
    }
    let Totals { packets, other, dns, names } = totals;
    println!("{packets} packets, {other} not IP, {} flows, {dns} DNS messages, {names} server names", flows.used);
    Ok(())
}
