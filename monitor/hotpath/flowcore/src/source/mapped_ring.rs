//! The ring of one interface: memory that the kernel writes frames into.
//!
//! See packet(7) and Documentation/networking/packet_mmap.rst of the kernel. The kernel fills blocks
//! of 1 MiB and hands each over by a status word; a block goes back when all its frames were given out.
//! The host's own TCP comes before segmentation, in frames of up to 64 KiB (512 KiB with BIG TCP), so
//! blocks are never smaller.

use std::sync::atomic::{AtomicU32, Ordering};

use super::bpf::Program;
use super::packet_socket::PacketSocket;
use super::prefetch::prefetch;
use super::ring::RingOptions;
use super::stream::plain;
use super::{clock, superframe, FrameSpan, KernelCounts, SourceError, BURST};

const BLOCK: usize = 1 << 20;
/// A block that is not full is handed over after this many milliseconds.
pub(super) const RETIRE: u32 = 40;
/// Bytes of a cache line.
const LINE: usize = 64;

pub(super) const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;

/// Frames ahead of the one described whose headers are asked for from memory.
const AHEAD: usize = 4;

/// The block's head as the kernel lays it out (struct tpacket_block_desc with tpacket_hdr_v1).
const STATUS_AT: usize = 8;
const COUNT_AT: usize = 12;
const FIRST_AT: usize = 16;

/// One interface's socket and ring.
pub(super) struct Ring {
    pub(super) socket: PacketSocket,
    memory: *mut u8,
    blocks: usize,
    pub(super) link: u16,
    /// The block that comes next, or that is being given out.
    block: usize,
    /// Frames left in it, and where the next one stands; `None`: the kernel still has it.
    pub(super) open: Option<(u32, usize)>,
    /// What the open block's times are moved by: wall time that was set since the start.
    correction: i64,
    /// When the open block was taken, in event time: none of its frames came later.
    taken: i64,
    pub(super) counts: KernelCounts,
    pub(super) down: bool,
    /// A header that tells the segments' size stands before each frame.
    told: bool,
}

// SAFETY: the mapping belongs to this Ring alone and is used by whichever one thread owns it.
unsafe impl Send for Ring {}

fn attach(socket: &PacketSocket, program: &Program) -> Result<(), SourceError> {
    let refused = |_| socket.failed("the kernel refuses the program of capture.filter and capture.snap");
    socket.attach(program).map_err(refused)
}

impl Ring {
    /// Open the ring; with a `group` it shares the interface's frames with the rings that join it too.
    pub(super) fn open(
        name: &str,
        options: &RingOptions,
        group: Option<&mut Option<u16>>,
    ) -> Result<Ring, SourceError> {
        let socket = PacketSocket::open(name)?;
        let ethernet = socket.is_ethernet();
        let blocks = options.ring.div_ceil(BLOCK).max(2);
        // only where frames begin with their link header
        let told = options.superframe_sizes && ethernet;
        if told {
            socket.tell_segments()?;
        }
        socket.set_ring(BLOCK, blocks, RETIRE)?;
        // until it shares the frames with others, each ring would get all of them
        let program = if group.is_some() { Some(Program::reject()) } else { options.program(ethernet)? };
        if let Some(program) = program {
            attach(&socket, &program)?;
        }
        if options.promiscuous {
            socket.make_promiscuous()?;
        }
        // SAFETY: a new mapping of the ring that was just set up; the kernel chooses the place.
        let memory = unsafe {
            let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
            let access = libc::PROT_READ | libc::PROT_WRITE;
            libc::mmap(std::ptr::null_mut(), blocks * BLOCK, access, flags, socket.raw(), 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(socket.failed("the ring cannot be mapped"));
        }
        let ring = Ring {
            socket,
            memory: memory.cast(),
            blocks,
            link: if ethernet { LINKTYPE_ETHERNET } else { LINKTYPE_RAW },
            block: 0,
            open: None,
            correction: 0,
            taken: 0,
            counts: KernelCounts::default(),
            down: false,
            told,
        };
        ring.socket
            .bind()
            .map_err(|error| SourceError(format!("{}: cannot capture: {}", ring.socket.name, plain(&error))))?;
        if let Some(group) = group {
            *group = Some(ring.socket.join(*group)?);
            attach(&ring.socket, &options.program(ethernet)?.unwrap_or_else(Program::accept))?;
        }
        Ok(ring)
    }

    fn block_start(&self) -> *mut u8 {
        // SAFETY: `block` is below `blocks`, so the place is inside the mapping.
        unsafe { self.memory.add(self.block * BLOCK) }
    }

    fn status(&self) -> &AtomicU32 {
        // SAFETY: the status word stands inside the block, aligned to four bytes; the kernel writes it
        // too, which is why it is only touched as an atomic.
        unsafe { AtomicU32::from_ptr(self.block_start().add(STATUS_AT).cast()) }
    }

    /// The memory of the present block; only to be called while the block is ours.
    pub(super) fn block_memory(&self) -> &[u8] {
        // SAFETY: the block lies inside the mapping, and while its status says that it is ours the
        // kernel does not write to it.
        unsafe { std::slice::from_raw_parts(self.block_start(), BLOCK) }
    }

    /// Whether the kernel has handed over the present block; opens it. `boot_to_event` is added to boot
    /// time to get event time.
    pub(super) fn take(&mut self, boot_to_event: i64) -> bool {
        if self.open.is_some() {
            return true;
        }
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        let memory = self.block_memory();
        let word = |at: usize| native(memory, at);
        self.open = Some((word(COUNT_AT), word(FIRST_AT) as usize));
        // frames carry wall time: where that was set since the start, their times are moved back
        self.taken = clock::boot() + boot_to_event;
        self.correction = self.taken - clock::wall();
        true
    }

    /// Give the present block back to the kernel and go on to the next.
    pub(super) fn release(&mut self) {
        self.open = None;
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.block = (self.block + 1) % self.blocks;
    }

    /// Describe the next frames of the open block.
    pub(super) fn fill(&mut self, interface: u16, frames: &mut Vec<FrameSpan>) {
        let Some((mut left, mut at)) = self.open else { return };
        let (memory, correction, taken) = (self.block_memory(), self.correction, self.taken);
        while left > 0 && frames.len() < BURST {
            // struct tpacket3_hdr: next, sec, nsec, snaplen, len, status, mac, net, rxhash, vlan_tci
            let word = |index: usize| native(memory, at + 4 * index);
            let status = word(5);
            let mac = word(6) & 0xffff;
            let net = word(6) >> 16;
            let start = if self.link == LINKTYPE_ETHERNET { mac } else { net };
            let wall = i64::from(word(1)) * 1_000_000_000 + i64::from(word(2));
            // the kernel wrote this on another core, so each line is a miss: what is decoded soon is asked
            // for now, and the headers behind it where they stand if the frames are of about one size
            let next = word(0) as usize;
            prefetch(memory.get(at + start as usize));
            prefetch(memory.get(at + start as usize + LINE));
            prefetch(memory.get(at + AHEAD * next));
            let tagged = status & libc::TP_STATUS_VLAN_VALID != 0;
            frames.push(FrameSpan {
                time: event_time(wall, correction, taken),
                offset: at as u32 + start,
                captured: word(3),
                wire: word(4),
                link: self.link,
                interface,
                vlan: if tagged { word(8) as u16 & 0x0fff } else { 0 },
                segment: if self.told { superframe::told(memory, at + mac as usize) } else { 0 },
            });
            left -= 1;
            at += next;
        }
        self.open = Some((left, at));
    }

    /// Add what the kernel counted since it was asked last; asking sets its counters to zero.
    pub(super) fn count(&mut self) {
        let (packets, drops) = self.socket.statistics();
        self.counts.packets += packets;
        self.counts.drops += drops;
    }

    /// After an error on the socket: the interface went down, or away and perhaps came back.
    pub(super) fn recover(&mut self) -> Option<String> {
        let error = self.socket.take_error();
        let bound = self.socket.bind().is_ok();
        let was_down = std::mem::replace(&mut self.down, true);
        if bound && error == 0 {
            self.down = false;
        }
        (!was_down).then(|| format!("{}: the interface went down; waiting for it to come back", self.socket.name))
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // SAFETY: the mapping was made with this length and nobody borrows from it any more.
        unsafe { libc::munmap(self.memory.cast(), self.blocks * BLOCK) };
    }
}

/// A 32-bit number in this machine's byte order; 0 beyond the end.
fn native(memory: &[u8], at: usize) -> u32 {
    memory.get(at..at + 4).and_then(|four| four.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// Event time of a frame that carries this wall time, in a block that was taken then. Where the clock was set back between the
/// two, the correction is that of another clock: a frame of the future would keep its tick open until that comes.
#[inline]
fn event_time(wall: i64, correction: i64, taken: i64) -> i64 {
    wall.saturating_add(correction).min(taken).max(0)
}

#[cfg(test)]
mod tests {
    use super::event_time;

    const SECOND: i64 = 1_000_000_000;
    const STARTED: i64 = 1_700_000_000 * SECOND;

    #[test]
    fn a_frame_came_no_later_than_its_block() {
        // a frame is stamped 100 s after the start; its block is taken 40 ms later
        let (stamped, taken) = (100 * SECOND, 100 * SECOND + 40_000_000);
        let hour = 3600 * SECOND;
        // set before the frame came, in the 40 ms, or never: what it carries, and what the clock says when it is taken
        for (before, after) in [(0, 0), (hour, hour), (-hour, -hour)] {
            let wall = STARTED + taken + after;
            let found = event_time(STARTED + stamped + before, STARTED + taken - wall, STARTED + taken);
            assert_eq!(found, STARTED + stamped);
        }
        for after in [-hour, -SECOND] {
            let wall = STARTED + taken + after;
            let found = event_time(STARTED + stamped, STARTED + taken - wall, STARTED + taken);
            assert_eq!(found, STARTED + taken, "set back by {after}");
        }
    }
}
