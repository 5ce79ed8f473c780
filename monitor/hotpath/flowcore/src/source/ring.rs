//! Live capture: one AF_PACKET ring (TPACKET_V3) for each interface.
//!
//! See packet(7) and Documentation/networking/packet_mmap.rst of the kernel. The kernel fills blocks
//! of 1 MiB and hands each over by a status word; a block goes back when all its frames were given out.
//! The host's own TCP comes before segmentation, in frames of up to 64 KiB (512 KiB with BIG TCP), so
//! blocks are never smaller.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU32, Ordering};

use super::stream::plain;
use super::{clock, interface, Burst, FrameSpan, KernelCounts, Next, Source, SourceError, BURST};

const BLOCK: usize = 1 << 20;
/// A block that is not full is handed over after this many milliseconds.
const RETIRE: u32 = 40;
/// How far the clock of a silent ring stays behind, so that frames of a block not yet retired are in time.
const CLOCK_LAG: i64 = 2 * RETIRE as i64 * 1_000_000;
const POLL: i32 = 50;

const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;
const LINKTYPE_ETHERNET: u16 = 1;
const LINKTYPE_RAW: u16 = 101;

/// What a user may choose.
#[derive(Clone, Copy, Debug)]
pub struct RingOptions {
    /// Bytes of ring for each interface; rounded up to whole blocks, two at least.
    pub ring: usize,
    /// Take frames for other stations too.
    pub promiscuous: bool,
}

/// The block's head as the kernel lays it out (struct tpacket_block_desc with tpacket_hdr_v1).
const STATUS_AT: usize = 8;
const COUNT_AT: usize = 12;
const FIRST_AT: usize = 16;

/// One interface's socket and ring.
struct Ring {
    name: String,
    socket: OwnedFd,
    memory: *mut u8,
    blocks: usize,
    link: u16,
    /// The block that comes next, or that is being given out.
    block: usize,
    /// Frames left in it, and where the next one stands; `None`: the kernel still has it.
    open: Option<(u32, usize)>,
    counts: KernelCounts,
    down: bool,
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
    finishing: Option<i64>,
    warnings: Vec<String>,
}

fn failed(what: &str) -> SourceError {
    SourceError(format!("{what}: {}", plain(&io::Error::last_os_error())))
}

/// Set a socket option that is a plain C struct or integer.
fn set<T>(socket: RawFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    // SAFETY: the pointer and length are those of `value`, which lives through the call.
    let result = unsafe {
        libc::setsockopt(socket, level, option, (value as *const T).cast(), size_of::<T>() as libc::socklen_t)
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

impl Ring {
    fn open(name: &str, options: &RingOptions) -> Result<Ring, SourceError> {
        let index = interface::index(name)?;
        let hardware = interface::hardware_type(name).unwrap_or(ARPHRD_ETHER);
        // other hardware is read cooked: the kernel takes its header off, frames start with IP
        let ethernet = hardware == ARPHRD_ETHER || hardware == ARPHRD_LOOPBACK;
        let kind = if ethernet { libc::SOCK_RAW } else { libc::SOCK_DGRAM };
        // protocol 0: nothing comes before the socket is bound to its interface
        // SAFETY: a plain system call without pointers.
        let raw = unsafe { libc::socket(libc::AF_PACKET, kind | libc::SOCK_CLOEXEC, 0) };
        if raw < 0 {
            let error = io::Error::last_os_error();
            return Err(SourceError(if error.raw_os_error() == Some(libc::EPERM) {
                format!(
                    "{name}: capturing needs the capability CAP_NET_RAW; run as root, or give it with \
                     `AmbientCapabilities=CAP_NET_RAW` in a systemd unit or `setcap cap_net_raw+ep` on the \
                     Python interpreter of this installation"
                )
            } else {
                format!("{name}: cannot open a packet socket: {}", plain(&error))
            }));
        }
        // SAFETY: `raw` is a descriptor that was just opened and has no other owner.
        let socket = unsafe { OwnedFd::from_raw_fd(raw) };
        set(raw, libc::SOL_PACKET, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V3)
            .map_err(|_| failed(&format!("{name}: this kernel has no TPACKET_V3")))?;
        let blocks = options.ring.div_ceil(BLOCK).max(2);
        let frame = 2048;
        let request = libc::tpacket_req3 {
            tp_block_size: BLOCK as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: frame,
            tp_frame_nr: (blocks * BLOCK) as u32 / frame,
            tp_retire_blk_tov: RETIRE,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        set(raw, libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
            .map_err(|_| failed(&format!("{name}: no memory for a ring of {blocks} MiB (capture.ring)")))?;
        if hardware == ARPHRD_LOOPBACK {
            // on loopback each packet would come twice, once as it leaves and once as it arrives
            set(raw, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)
                .map_err(|_| failed(&format!("{name}: this kernel has no PACKET_IGNORE_OUTGOING")))?;
        }
        if options.promiscuous {
            let request = libc::packet_mreq {
                mr_ifindex: index,
                mr_type: libc::PACKET_MR_PROMISC as u16,
                mr_alen: 0,
                mr_address: [0; 8],
            };
            set(raw, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
                .map_err(|_| failed(&format!("{name}: cannot be made promiscuous")))?;
        }
        // SAFETY: a new mapping of the ring that was just set up; the kernel chooses the place.
        let memory = unsafe {
            let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
            libc::mmap(std::ptr::null_mut(), blocks * BLOCK, libc::PROT_READ | libc::PROT_WRITE, flags, raw, 0)
        };
        if memory == libc::MAP_FAILED {
            return Err(failed(&format!("{name}: the ring cannot be mapped")));
        }
        let ring = Ring {
            name: name.to_string(),
            socket,
            memory: memory.cast(),
            blocks,
            link: if ethernet { LINKTYPE_ETHERNET } else { LINKTYPE_RAW },
            block: 0,
            open: None,
            counts: KernelCounts::default(),
            down: false,
        };
        ring.bind(index).map_err(|error| SourceError(format!("{name}: cannot capture: {}", plain(&error))))?;
        Ok(ring)
    }

    fn bind(&self, index: i32) -> io::Result<()> {
        // SAFETY: sockaddr_ll is plain data, for which all zeros is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index;
        // SAFETY: the pointer and length are those of `address`, which lives through the call.
        let result = unsafe {
            libc::bind(
                self.socket.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
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

    /// Whether the kernel has handed over the present block; opens it.
    fn take(&mut self) -> bool {
        if self.open.is_some() {
            return true;
        }
        if self.status().load(Ordering::Acquire) & libc::TP_STATUS_USER == 0 {
            return false;
        }
        let memory = self.block_memory();
        let word = |at: usize| native(memory, at);
        self.open = Some((word(COUNT_AT), word(FIRST_AT) as usize));
        true
    }

    /// Give the present block back to the kernel and go on to the next.
    fn release(&mut self) {
        self.open = None;
        self.status().store(libc::TP_STATUS_KERNEL, Ordering::Release);
        self.block = (self.block + 1) % self.blocks;
    }

    /// Describe the next frames of the open block.
    fn fill(&mut self, interface: u16, correction: i64, frames: &mut Vec<FrameSpan>) {
        let Some((mut left, mut at)) = self.open else { return };
        let memory = self.block_memory();
        while left > 0 && frames.len() < BURST {
            // struct tpacket3_hdr: next, sec, nsec, snaplen, len, status, mac, net, rxhash, vlan_tci
            let word = |index: usize| native(memory, at + 4 * index);
            let status = word(5);
            let mac = word(6) & 0xffff;
            let net = word(6) >> 16;
            let start = if self.link == LINKTYPE_ETHERNET { mac } else { net };
            let time = i64::from(word(1)) * 1_000_000_000 + i64::from(word(2));
            let tagged = status & libc::TP_STATUS_VLAN_VALID != 0;
            frames.push(FrameSpan {
                time: time.saturating_add(correction).max(0),
                offset: at as u32 + start,
                captured: word(3),
                wire: word(4),
                link: self.link,
                interface,
                vlan: if tagged { word(8) as u16 & 0x0fff } else { 0 },
            });
            left -= 1;
            at += word(0) as usize;
        }
        self.open = Some((left, at));
    }

    /// Add what the kernel counted since it was asked last; asking sets its counters to zero.
    fn count(&mut self) {
        let mut stats = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let mut size = size_of::<libc::tpacket_stats_v3>() as libc::socklen_t;
        // SAFETY: `stats` and `size` are valid for the call to fill, and `size` is that of `stats`.
        let result = unsafe {
            let socket = self.socket.as_raw_fd();
            libc::getsockopt(socket, libc::SOL_PACKET, libc::PACKET_STATISTICS, (&raw mut stats).cast(), &mut size)
        };
        if result == 0 {
            self.counts.packets += u64::from(stats.tp_packets);
            self.counts.drops += u64::from(stats.tp_drops);
        }
    }

    /// Let nothing more in, by a filter that accepts no frame; what is in the ring stays.
    fn close_door(&self) -> io::Result<()> {
        let mut reject = [libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: 0 }];
        let program = libc::sock_fprog { len: 1, filter: reject.as_mut_ptr() };
        set(self.socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// After an error on the socket: the interface went down, or away and perhaps came back.
    fn recover(&mut self) -> Option<String> {
        let mut error = 0_i32;
        let mut size = size_of::<i32>() as libc::socklen_t;
        // SAFETY: `error` and `size` are valid for the call to fill.
        unsafe {
            let socket = self.socket.as_raw_fd();
            libc::getsockopt(socket, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &mut size);
        }
        let bound = interface::index(&self.name).is_ok_and(|index| self.bind(index).is_ok());
        let was_down = std::mem::replace(&mut self.down, true);
        if bound && error == 0 {
            self.down = false;
        }
        (!was_down).then(|| format!("{}: the interface went down; waiting for it to come back", self.name))
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

impl Rings {
    /// Open a ring on each interface.
    ///
    /// # Errors
    /// An unknown interface, a right that is missing, or what else the kernel refuses: one line.
    pub fn open(names: &[String], options: &RingOptions) -> Result<Rings, SourceError> {
        let rings = names.iter().map(|name| Ring::open(name, options)).collect::<Result<Vec<_>, _>>()?;
        Ok(Rings {
            rings,
            names: names.to_vec(),
            turn: 0,
            frames: Vec::with_capacity(BURST),
            boot_to_event: clock::wall() - clock::boot(),
            finishing: None,
            warnings: Vec::new(),
        })
    }

    /// Boot time, anchored to the wall time of the start.
    fn now(&self) -> i64 {
        clock::boot() + self.boot_to_event
    }

    fn wait(&mut self) {
        let mut watched: Vec<libc::pollfd> = self
            .rings
            .iter()
            .map(|ring| libc::pollfd { fd: ring.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 })
            .collect();
        // SAFETY: the pointer and count are those of `watched`, which lives through the call.
        let ready = unsafe { libc::poll(watched.as_mut_ptr(), watched.len() as libc::nfds_t, POLL) };
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
        let ready = |rings: &mut Vec<Ring>, turn: usize| {
            (0..count).map(|step| (turn + step) % count).find(|place| rings.get_mut(*place).is_some_and(Ring::take))
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
        // frames carry wall time: where that was set since the start, their times are moved back
        let correction = self.now() - clock::wall();
        let Some(ring) = self.rings.get_mut(place) else { return Ok(Next::End) };
        ring.down = false;
        ring.fill(place as u16, correction, &mut self.frames);
        Ok(Next::Frames(Burst { frames: &self.frames, memory: ring.block_memory() }))
    }

    fn clock(&self) -> Option<i64> {
        Some(self.now() - CLOCK_LAG)
    }

    fn kernel_counts(&mut self) -> Vec<KernelCounts> {
        self.rings.iter_mut().for_each(Ring::count);
        self.rings.iter().map(|ring| ring.counts).collect()
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
            if let Err(error) = ring.close_door() {
                self.warnings.push(format!("{}: cannot stop the capture cleanly: {}", ring.name, plain(&error)));
            }
        }
        // what is in a block that is not full comes when its time is over
        self.finishing = Some(clock::boot() + CLOCK_LAG);
    }
}
