//! Live capture: one AF_PACKET ring (TPACKET_V3) for each interface.
//!
//! See packet(7) and Documentation/networking/packet_mmap.rst of the kernel. The kernel fills blocks
//! of 1 MiB and hands each over by a status word; a block goes back when all its frames were given out.
//! The host's own TCP comes before segmentation, in frames of up to 64 KiB (512 KiB with BIG TCP), so
//! blocks are never smaller.

use std::sync::atomic::{AtomicU32, Ordering};

use super::bpf::Program;
use super::packet_socket::PacketSocket;
use super::stream::plain;
use super::{clock, interface, snap, superframe, Burst, FrameSpan, KernelCounts, Next, Source, SourceError, BURST};

const BLOCK: usize = 1 << 20;
/// A block that is not full is handed over after this many milliseconds.
const RETIRE: u32 = 40;
/// How far the clock of a silent ring stays behind, so that frames of a block not yet retired are in time.
const CLOCK_LAG: i64 = 2 * RETIRE as i64 * 1_000_000;
const POLL: i32 = 50;
/// Bytes of a cache line.
const LINE: usize = 64;

const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;
const ETHERNET_HEADER: u32 = 14;

/// Frames ahead of the one described whose headers are asked for from memory.
const AHEAD: usize = 4;

/// What a user may choose.
#[derive(Clone, Debug, Default)]
pub struct RingOptions {
    /// Bytes of ring for each interface; rounded up to whole blocks, two at least.
    pub ring: usize,
    /// Take frames for other stations too.
    pub promiscuous: bool,
    /// Never sleep while there are no frames: costs a core, saves the time of waking up.
    pub busy_poll: bool,
    /// Which frames are taken; `None`: all.
    pub filter: Option<Filter>,
    /// Take only the headers of what looks like bulk ([`snap`]).
    pub snap: bool,
    /// Have the kernel tell the sizes of segments of super-frames. It then drops the super-frames that it has
    /// no word for (SCTP; before Linux 6.2 also UDP), so this is only for who has none.
    pub superframe_sizes: bool,
}

/// A flow's key has one byte for its interface.
const MAX_INTERFACES: usize = 256;

/// A capture filter, compiled for both kinds of frames.
#[derive(Clone, Debug)]
pub struct Filter {
    /// For frames that begin with an Ethernet header.
    pub ethernet: Program,
    /// For frames that begin with an IP header.
    pub ip: Program,
}

impl RingOptions {
    /// The program for a socket; `None`: it takes everything.
    fn program(&self, ethernet: bool) -> Result<Option<Program>, SourceError> {
        let filter = self.filter.as_ref().map(|filter| if ethernet { &filter.ethernet } else { &filter.ip });
        let snap = if self.snap { Some(snap::program(ethernet)?) } else { None };
        Ok(match (filter, snap) {
            (Some(filter), Some(snap)) => Some(filter.clone().then(&snap)?),
            (Some(filter), None) => Some(filter.clone()),
            (None, snap) => snap,
        })
    }
}

/// The block's head as the kernel lays it out (struct tpacket_block_desc with tpacket_hdr_v1).
const STATUS_AT: usize = 8;
const COUNT_AT: usize = 12;
const FIRST_AT: usize = 16;

/// One interface's socket and ring.
struct Ring {
    socket: PacketSocket,
    memory: *mut u8,
    blocks: usize,
    link: u16,
    /// The block that comes next, or that is being given out.
    block: usize,
    /// Frames left in it, and where the next one stands; `None`: the kernel still has it.
    open: Option<(u32, usize)>,
    /// What the open block's times are moved by: wall time that was set since the start.
    correction: i64,
    counts: KernelCounts,
    down: bool,
    /// A header that tells the segments' size stands before each frame.
    told: bool,
}

// SAFETY: the mapping belongs to this Ring alone and is used by whichever one thread owns it.
unsafe impl Send for Ring {}

/// Rings on one or more interfaces.
pub struct Rings {
    rings: Vec<Ring>,
    names: Vec<String>,
    /// The ring that is asked first, so that none starves.
    turn: usize,
    /// The ring whose block the last burst points into.
    frames: Vec<FrameSpan>,
    boot_to_event: i64,
    /// Milliseconds that it waits where there are no frames.
    patience: i32,
    finishing: Option<i64>,
    warnings: Vec<String>,
}

fn attach(socket: &PacketSocket, program: &Program) -> Result<(), SourceError> {
    let refused = |_| socket.failed("the kernel refuses the program of capture.filter and capture.snap");
    socket.attach(program).map_err(refused)
}

impl Ring {
    /// Open the ring; with a `group` it shares the interface's frames with the rings that join it too.
    fn open(name: &str, options: &RingOptions, group: Option<&mut Option<u16>>) -> Result<Ring, SourceError> {
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
    fn block_memory(&self) -> &[u8] {
        // SAFETY: the block lies inside the mapping, and while its status says that it is ours the
        // kernel does not write to it.
        unsafe { std::slice::from_raw_parts(self.block_start(), BLOCK) }
    }

    /// Whether the kernel has handed over the present block; opens it. `boot_to_event` is added to boot
    /// time to get event time.
    fn take(&mut self, boot_to_event: i64) -> bool {
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
        self.correction = clock::boot() + boot_to_event - clock::wall();
        true
    }

    /// Give the present block back to the kernel and go on to the next.
    fn release(&mut self) {
        self.open = None;
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.block = (self.block + 1) % self.blocks;
    }

    /// Describe the next frames of the open block.
    fn fill(&mut self, interface: u16, frames: &mut Vec<FrameSpan>) {
        let Some((mut left, mut at)) = self.open else { return };
        let (memory, correction) = (self.block_memory(), self.correction);
        while left > 0 && frames.len() < BURST {
            // struct tpacket3_hdr: next, sec, nsec, snaplen, len, status, mac, net, rxhash, vlan_tci
            let word = |index: usize| native(memory, at + 4 * index);
            let status = word(5);
            let mac = word(6) & 0xffff;
            let net = word(6) >> 16;
            let start = if self.link == LINKTYPE_ETHERNET { mac } else { net };
            let time = i64::from(word(1)) * 1_000_000_000 + i64::from(word(2));
            // the kernel wrote this on another core, so each line is a miss: what is decoded soon is asked
            // for now, and the headers behind it where they stand if the frames are of about one size
            let next = word(0) as usize;
            prefetch(memory, at + start as usize);
            prefetch(memory, at + start as usize + LINE);
            prefetch(memory, at + AHEAD * next);
            let tagged = status & libc::TP_STATUS_VLAN_VALID != 0;
            frames.push(FrameSpan {
                time: time.saturating_add(correction).max(0),
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
    fn count(&mut self) {
        let (packets, drops) = self.socket.statistics();
        self.counts.packets += packets;
        self.counts.drops += drops;
    }

    /// After an error on the socket: the interface went down, or away and perhaps came back.
    fn recover(&mut self) -> Option<String> {
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

/// Ask for the cache line that holds this byte; nothing where there is none.
#[inline]
fn prefetch(memory: &[u8], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(byte) = memory.get(at) {
        // SAFETY: the address is that of a byte of `memory`; a prefetch changes nothing that can be seen.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>((byte as *const u8).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (memory, at);
}

impl Rings {
    /// Open a ring on each interface, for each of these workers.
    ///
    /// # Errors
    /// An unknown interface, a right that is missing, or what else the kernel refuses: one line.
    pub fn open(names: &[String], options: &RingOptions, workers: usize) -> Result<Vec<Rings>, SourceError> {
        if names.len() > MAX_INTERFACES {
            return Err(SourceError(format!("{} interfaces; at most {MAX_INTERFACES} can be watched", names.len())));
        }
        let boot_to_event = clock::wall() - clock::boot();
        let mut groups = vec![None; names.len()];
        let mut all = Vec::with_capacity(workers);
        for _ in 0..workers {
            let mut rings = Vec::with_capacity(names.len());
            for (name, group) in names.iter().zip(&mut groups) {
                rings.push(Ring::open(name, options, (workers > 1).then_some(group))?);
            }
            all.push(Rings {
                rings,
                names: names.to_vec(),
                turn: 0,
                frames: Vec::with_capacity(BURST),
                boot_to_event,
                patience: if options.busy_poll { 0 } else { POLL },
                finishing: None,
                warnings: Vec::new(),
            });
        }
        Ok(all)
    }

    /// Boot time, anchored to the wall time of the start.
    fn now(&self) -> i64 {
        clock::boot() + self.boot_to_event
    }

    fn wait(&mut self) {
        let mut watched: Vec<libc::pollfd> = self
            .rings
            .iter()
            .map(|ring| libc::pollfd { fd: ring.socket.raw(), events: libc::POLLIN, revents: 0 })
            .collect();
        // SAFETY: the pointer and count are those of `watched`, which lives through the call.
        let ready = unsafe { libc::poll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, self.patience) };
        if ready > 0 {
            for (ring, poll) in self.rings.iter_mut().zip(&watched) {
                if poll.revents & libc::POLLERR != 0 {
                    self.warnings.extend(ring.recover());
                }
            }
        }
    }
}

impl Source for Rings {
    fn interfaces(&self) -> &[String] {
        &self.names
    }

    fn next_burst(&mut self) -> Result<Next<'_>, SourceError> {
        self.frames.clear();
        for ring in &mut self.rings {
            if ring.open.is_some_and(|(left, _)| left == 0) {
                ring.release();
            }
        }
        let count = self.rings.len();
        let boot_to_event = self.boot_to_event;
        let ready = |rings: &mut Vec<Ring>, turn: usize| {
            let taken = |place: &usize| rings.get_mut(*place).is_some_and(|ring| ring.take(boot_to_event));
            (0..count).map(|step| (turn + step) % count).find(taken)
        };
        let mut place = ready(&mut self.rings, self.turn);
        if place.is_none() {
            if self.finishing.is_some_and(|until| clock::boot() > until) {
                return Ok(Next::End);
            }
            self.wait();
            place = ready(&mut self.rings, self.turn);
        }
        let Some(place) = place else { return Ok(Next::Frames(Burst { frames: &[], memory: &[] })) };
        self.turn = place + 1;
        let Some(ring) = self.rings.get_mut(place) else { return Ok(Next::End) };
        ring.down = false;
        ring.fill(place as u16, &mut self.frames);
        Ok(Next::Frames(Burst { frames: &self.frames, memory: ring.block_memory() }))
    }

    fn clock(&self) -> Option<i64> {
        Some(self.now() - CLOCK_LAG)
    }

    fn kernel_counts(&mut self) -> Vec<KernelCounts> {
        self.rings.iter_mut().for_each(Ring::count);
        self.rings.iter().map(|ring| ring.counts).collect()
    }

    fn longest_frames(&self) -> Vec<u32> {
        let longest = |ring: &Ring| {
            let header = if ring.link == LINKTYPE_ETHERNET { ETHERNET_HEADER } else { 0 };
            interface::longest_packet(&ring.socket.name).map_or(u32::MAX, |packet| packet.saturating_add(header))
        };
        self.rings.iter().map(longest).collect()
    }

    fn progress(&self) -> (u64, Option<u64>) {
        (0, None)
    }

    fn clamped_times(&self) -> u64 {
        0
    }

    fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    fn finish(&mut self) {
        for ring in &self.rings {
            // nothing more comes in; what is in the ring stays
            if let Err(error) = ring.socket.attach(&Program::reject()) {
                self.warnings.push(format!("{}: cannot stop the capture cleanly: {}", ring.socket.name, plain(&error)));
            }
        }
        // what is in a block that is not full comes when its time is over
        self.finishing = Some(clock::boot() + CLOCK_LAG);
    }
}
