//! Live capture: one AF_PACKET ring (TPACKET_V3) for each interface, asked in turn.

use super::bpf::Program;
use super::mapped_ring::{Ring, LINKTYPE_ETHERNET, RETIRE};
use super::stream::plain;
use super::{clock, interface, snap, Burst, FrameSpan, KernelCounts, Next, Source, SourceError, BURST};

/// How far the clock of a silent ring stays behind, so that frames of a block not yet retired are in time.
const CLOCK_LAG: i64 = 2 * RETIRE as i64 * 1_000_000;
const POLL: i32 = 50;
const ETHERNET_HEADER: u32 = 14;

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
    pub(super) fn program(&self, ethernet: bool) -> Result<Option<Program>, SourceError> {
        let filter = self.filter.as_ref().map(|filter| if ethernet { &filter.ethernet } else { &filter.ip });
        let snap = if self.snap { Some(snap::program(ethernet)?) } else { None };
        Ok(match (filter, snap) {
            (Some(filter), Some(snap)) => Some(filter.clone().then(&snap)?),
            (Some(filter), None) => Some(filter.clone()),
            (None, snap) => snap,
        })
    }
}

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
