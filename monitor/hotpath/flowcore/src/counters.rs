//! Plain integers that one worker owns and hands out with each batch.

use crate::decode::{Fault, Reason};
use crate::flow::Scope;

/// Totals since the start. Every field only grows, but for `flows_open`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received, by interface.
    pub frames: Vec<u64>,
    /// Their length on the wire, by interface.
    pub wire_bytes: Vec<u64>,
    /// Frames that stand for several on the wire, by interface.
    pub superframes: Vec<u64>,
    /// Header bytes that their segments repeat on the wire, by interface: where the kernel told the size.
    pub repeated_told: Vec<u64>,
    /// The same where it had to be estimated from the longest frame that the interface sends.
    pub repeated_estimated: Vec<u64>,
    /// The kernel's `tp_packets`, by interface; empty for files.
    pub kernel_packets: Vec<u64>,
    /// The kernel's `tp_drops`, by interface; empty for files.
    pub kernel_drops: Vec<u64>,
    /// Frames without a flow, by [`Reason`].
    pub undecoded_frames: [u64; Reason::COUNT],
    /// Their length on the wire.
    pub undecoded_bytes: [u64; Reason::COUNT],
    /// What was wrong with frames that have a flow, by [`Fault`].
    pub faults: [u64; Fault::COUNT],
    /// Bytes of decoded frames outside the IP packet: link headers, padding, checksums.
    pub overhead_bytes: u64,
    /// Bytes that IP headers claim beyond the end of their frame.
    pub overclaimed_bytes: u64,
    /// Frames in flows, by scope.
    pub scope_frames: [u64; Scope::COUNT],
    /// Bytes from local to remote and from remote to local, by scope.
    pub scope_bytes: [[u64; Scope::COUNT]; 2],
    /// Frames older than the tick that was open when they came.
    pub late_frames: u64,
    /// Time stamps out of range.
    pub clamped_times: u64,
    /// Flows in the tables now, ended ones within their 60 s included.
    pub flows_open: u64,
    /// Flows that had to leave because a table was full.
    pub flows_evicted: u64,
    /// Ticks that became part of the next one because nobody took the batches.
    pub merged_ticks: u64,
    /// Streams whose names were not looked for because too many half-read ones were held.
    pub names_skipped: u64,
    /// DNS questions forgotten before an answer could have come, because there were too many.
    pub questions_evicted: u64,
    /// Fragmented packets forgotten before all of their fragments came, because there were too many.
    pub fragments_evicted: u64,
    /// Later fragments without a first one in their tick: they count in a flow without ports.
    pub fragments_unplaced: u64,
    /// Fragmented packets in which nothing was looked for, because too much of others was held.
    pub fragments_unread: u64,
    /// DNS rows beyond what a batch holds.
    pub dns_rows_dropped: u64,
    /// CPU time of the worker's thread in nanoseconds.
    pub cpu_nanoseconds: u64,
}
