//! Packet sources: capture files and AF_PACKET rings, behind one trait.
//!
//! A source hands over frames in bursts: descriptors into memory that the source owns until the next
//! call, so that a packet is never copied. This is the only module with `unsafe`: the ring is memory
//! shared with the kernel.

pub mod bits;
pub mod bpf;
pub mod clock;
pub mod fanout;
pub mod files;
pub mod huge_pages;
pub mod interface;
mod mapped_ring;
mod packet_socket;
mod pcap;
mod pcapng;
pub mod prefetch;
pub mod ring;
pub mod snap;
mod stream;
pub mod superframe;

use std::fmt;

/// Frames in a burst of a ring at most: enough to hide a cache miss behind, few enough that what the ring asks for ahead
/// stays in the first cache level.
pub const BURST: usize = 64;

/// Frames in a burst of a file at most, of which nothing is asked for ahead.
pub const FILE_BURST: usize = 256;

/// Time stamps outside 1970 to 2116 are clamped, so that time arithmetic cannot overflow.
pub const MAX_TIME: i64 = 1 << 62;

/// Where a frame stands in its burst's memory, and what the source knows about it.
#[derive(Clone, Copy, Debug)]
pub struct FrameSpan {
    /// Nanoseconds since 1970.
    pub time: i64,
    /// Start of the frame in [`Burst::memory`].
    pub offset: u32,
    /// Bytes that are there.
    pub captured: u32,
    /// Bytes that the frame had on the wire.
    pub wire: u32,
    /// LINKTYPE_ number of the frame.
    pub link: u16,
    /// Index into [`Source::interfaces`].
    pub interface: u16,
    /// VLAN id that the kernel took out of the frame; 0: none.
    pub vlan: u16,
    /// Payload bytes of each segment that a super-frame is sent as or came as; 0: none, or not told.
    pub segment: u16,
}

/// A run of frames; valid until the source is asked again.
#[derive(Debug)]
pub struct Burst<'a> {
    /// The frames, in the order they came.
    pub frames: &'a [FrameSpan],
    /// What their offsets point into.
    pub memory: &'a [u8],
}

/// What a source says when asked for frames.
#[derive(Debug)]
pub enum Next<'a> {
    /// Frames; may be empty where a live source had none within its poll time.
    Frames(Burst<'a>),
    /// There will never be more.
    End,
}

/// What the kernel says of one interface, as totals since the source was opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct KernelCounts {
    /// `tp_packets`: frames that passed the filter, dropped ones included.
    pub packets: u64,
    /// `tp_drops`: frames for which the ring had no room.
    pub drops: u64,
}

/// Something that gives frames.
///
/// A source that counts in the kernel and passes up only frames that carry names fits in here: it would
/// give those as bursts, and what it counted as a method beside [`Source::kernel_counts`], to be booked at
/// each tick.
pub trait Source {
    /// Names of the interfaces that [`FrameSpan::interface`] counts; capture files have one.
    fn interfaces(&self) -> &[String];

    /// Give the next frames. Waits at most some 50 ms where there are none.
    ///
    /// # Errors
    /// A text for people, where the source cannot go on at all.
    fn next_burst(&mut self) -> Result<Next<'_>, SourceError>;

    /// The event clock of a live source (nanoseconds since 1970), `None` for a file: there the
    /// packets are the clock.
    fn clock(&self) -> Option<i64>;

    /// Whether it goes on by itself while nobody takes what it gives: a worker then never waits for Python.
    fn is_live(&self) -> bool {
        self.clock().is_some()
    }

    /// What the kernel counted for each interface; empty for files.
    fn kernel_counts(&mut self) -> Vec<KernelCounts>;

    /// Bytes of the longest frame that each interface puts on the wire, link header included: a longer one
    /// is a super-frame, which stands for several. Empty for files.
    fn longest_frames(&self) -> Vec<u32> {
        Vec::new()
    }

    /// Bytes read so far and in all (`None` where that is unknown).
    fn progress(&self) -> (u64, Option<u64>);

    /// Time stamps that were out of range.
    fn clamped_times(&self) -> u64;

    /// Take nothing new in: after what is there, [`Next::End`] follows.
    fn finish(&mut self);

    /// Take the one-line warnings for people that came up, such as a file that is cut off.
    fn take_warnings(&mut self) -> Vec<String>;
}

/// Why a source cannot be opened or cannot go on: one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceError(pub String);

impl fmt::Display for SourceError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SourceError {}
