//! What is known of a flow, but for what each packet touches (see [`super::hot`]).

use std::sync::Arc;

use super::content::Content;
use super::inspect::{Inspection, Number};
use super::record::NONE;
use crate::closed_set::closed_set;
use crate::decode::{dns, protocol, Application, Packet, Tunnel};

closed_set! {
    /// Where the two ends of a flow are.
    Scope {
        /// One local end, one remote.
        Egress = "egress",
        /// Two local ends, or a multicast or broadcast.
        Internal = "internal",
        /// Two remote ends.
        Transit = "transit",
    }
}

closed_set! {
    /// Which end opened the flow.
    Initiator {
        /// Our side.
        Local = "local",
        /// The other side.
        Remote = "remote",
        /// First seen midstream, and nothing told since.
        Unknown = "unknown",
    }
}

closed_set! {
    /// How the initiator is known.
    Confidence {
        /// The TCP handshake was seen.
        Handshake = "handshake",
        /// A request of a known protocol was seen.
        Content = "content",
        /// One port is a service's, the other is not.
        Ports = "ports",
        /// It is not known.
        None = "none",
    }
}

closed_set! {
    /// Where the name of a flow is from.
    NameSource {
        /// TLS server name.
        Sni = "sni",
        /// QUIC server name.
        QuicSni = "quic_sni",
        /// DTLS server name.
        DtlsSni = "dtls_sni",
        /// HTTP Host field.
        HttpHost = "http_host",
        /// Target of an HTTP CONNECT.
        HttpConnect = "http_connect",
        /// Target of a SOCKS request.
        Socks = "socks",
        /// Certificate of a TLS server, where the client asked for no name: what the server claims.
        Certificate = "certificate",
    }
}

closed_set! {
    /// How a flow ended.
    Ending {
        /// Both sides sent FIN.
        Fin = "fin",
        /// A side sent RST.
        Rst = "rst",
        /// Nothing came for its timeout.
        Idle = "idle",
        /// The table was full.
        Evicted = "evicted",
        /// The monitor stopped, or the capture was over.
        Shutdown = "shutdown",
    }
}

/// What a text takes beside its bytes: its counts and what the allocator adds.
const TEXT_OVERHEAD: usize = 32;

/// Direction of a packet: index into arrays of two.
pub(super) const OUT: usize = 0;
pub(super) const IN: usize = 1;

/// Both directions' bits of [`Slot::watch`].
pub(super) const BOTH: u8 = 0b11;
/// All that is sent is looked at for what must not go out in clear ([`super::inspect`]).
pub(super) const INSPECTED: u8 = 1 << 2;
/// A sample of it is.
pub(super) const SAMPLED: u8 = 1 << 3;

/// One of its ports is one of DNS.
pub(super) const ON_DNS_PORT: u8 = 1 << 4;

/// It has a name, a fingerprint or an inspection that is not counted yet.
pub(super) const GROWN: u8 = 1 << 5;

/// Its inspection has findings for the open row.
pub(super) const FOUND: u8 = 1 << 6;

/// A flow, but for its key, which is in its [`super::hot::Hot`]. That repeats `watch` and whether the flow has ended: who
/// changes them here says so there.
///
/// What a packet that is looked into asks for stands in the first cache line, what rows are made of in the second.
#[derive(Debug)]
#[repr(C, align(64))]
pub(super) struct Slot {
    /// Half-read streams, while a name is looked for.
    pub(super) content: Option<Box<Content>>,
    /// Fingerprint of the TLS client.
    pub(super) ja4: Option<Arc<str>>,
    /// Of the open tick's packets.
    pub(super) first_seen: i64,
    /// TCP sequence number expected next, by direction, where a bit of `expects` says so.
    pub(super) next: [u32; 2],
    /// What it sends in clear; `None` where nothing was looked at yet.
    pub(super) inspection: Number,
    /// Bytes that inspection, name and fingerprint are counted as.
    pub(super) extras: u16,
    /// What is still looked at: bits of the directions whose first packets are, for names and the protocol, then
    /// [`INSPECTED`] and [`SAMPLED`]; [`ON_DNS_PORT`], which stays; [`GROWN`] and [`FOUND`].
    pub(super) watch: u8,
    /// Bits of the directions in which a SYN or data was seen.
    pub(super) expects: u8,
    /// Payload packets looked at, by direction.
    pub(super) looked: [u8; 2],
    pub(super) application: Application,
    pub(super) initiator: Initiator,
    pub(super) confidence: Confidence,
    /// Bits of the directions in which a FIN was seen.
    pub(super) fins: u8,
    pub(super) ended: Option<Ending>,
    pub(super) name_source: NameSource,
    pub(super) ech: bool,
    /// The low end of the key is the local one.
    pub(super) local_is_low: bool,
    pub(super) scope: Scope,
    /// Bits of the directions in which packets were seen, in the ticks that are cut.
    pub(super) seen: u8,
    pub(super) started: i64,
    /// When it ended, if it did.
    pub(super) ended_at: i64,
    pub(super) name: Option<Arc<str>>,
    /// The batch for which the numbers below are valid.
    pub(super) batch: u32,
    pub(super) local_id: u32,
    pub(super) remote_id: u32,
    pub(super) name_id: u32,
    pub(super) ja4_id: u32,
    /// Hash of the key in its table.
    pub(super) hash: u32,
    /// How its first packet came: the tunnel and its id.
    pub(super) tunnel_id: u32,
    pub(super) tunnel: Option<Tunnel>,
}

// two cache lines, and where the second begins
const _: () = assert!(size_of::<Slot>() == 128);
const _: () = assert!(std::mem::offset_of!(Slot, started) == 64);

impl Slot {
    /// That of a flow of which nothing is known.
    pub(super) const EMPTY: Slot = Slot {
        content: None,
        ja4: None,
        first_seen: 0,
        next: [0, 0],
        inspection: None,
        extras: 0,
        watch: 0,
        expects: 0,
        looked: [0, 0],
        application: Application::Unknown,
        initiator: Initiator::Unknown,
        confidence: Confidence::None,
        fins: 0,
        ended: None,
        name_source: NameSource::Sni,
        ech: false,
        local_is_low: false,
        scope: Scope::Egress,
        seen: 0,
        started: 0,
        ended_at: 0,
        name: None,
        batch: 0,
        local_id: 0,
        remote_id: 0,
        name_id: NONE,
        ja4_id: NONE,
        hash: 0,
        tunnel_id: 0,
        tunnel: None,
    };

    /// TCP sequence number that a direction is expected to go on with; `None` until a SYN or data was seen.
    #[inline(always)]
    pub(super) fn expected(&self, direction: usize) -> Option<u32> {
        (self.expects & (1 << direction) != 0).then_some(self.next[direction])
    }

    /// Say what a direction goes on with.
    #[inline(always)]
    pub(super) fn expect(&mut self, direction: usize, next: u32) {
        self.next[direction] = next;
        self.expects |= 1 << direction;
    }

    /// Bytes that its name, fingerprint and inspection take beyond what was counted before. A name that gives way
    /// to a shorter one stays counted as it was.
    pub(super) fn count_extras(&mut self) -> usize {
        let counted = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len() + TEXT_OVERHEAD);
        let inspection = self.inspection.map_or(0, |_| Inspection::BYTES);
        let now = (counted(&self.name) + counted(&self.ja4) + inspection).min(usize::from(u16::MAX)) as u16;
        let more = now.saturating_sub(self.extras);
        self.extras += more;
        self.watch &= !GROWN;
        usize::from(more)
    }

    /// Set the initiator, once.
    pub(super) fn opened_by(&mut self, local: bool, confidence: Confidence) {
        if self.initiator == Initiator::Unknown {
            self.initiator = if local { Initiator::Local } else { Initiator::Remote };
            self.confidence = confidence;
        }
    }

    /// Whether the low end opened it, and how that is known; `None` while it is not.
    pub(super) fn opened(&self) -> Option<(bool, Confidence)> {
        match self.initiator {
            Initiator::Unknown => None,
            initiator => Some(((initiator == Initiator::Local) == self.local_is_low, self.confidence)),
        }
    }

    /// Who opened a flow that has no handshake, as far as its first packet tells.
    pub(super) fn guess_initiator(&mut self, packet: &Packet<'_>, sender_is_local: bool) {
        const ECHO_REQUEST: [(u8, u8); 2] = [(protocol::ICMP, 8), (protocol::ICMPV6, 128)];
        const SERVICE: u16 = 1024;
        const EPHEMERAL: u16 = 32768;
        let (sport, dport) = (packet.source_port, packet.destination_port);
        if ECHO_REQUEST.contains(&(packet.protocol, packet.icmp_type)) {
            self.opened_by(sender_is_local, Confidence::Content);
        } else if packet.protocol == protocol::UDP && !dns::on_port(sport, dport) {
            if sport >= EPHEMERAL && (1..SERVICE).contains(&dport) {
                self.opened_by(sender_is_local, Confidence::Ports);
            } else if dport >= EPHEMERAL && (1..SERVICE).contains(&sport) {
                self.opened_by(!sender_is_local, Confidence::Ports);
            }
        }
    }
}
