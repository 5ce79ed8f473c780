//! An AF_PACKET socket on one interface, see packet(7): opened, filtered, bound, asked for its counters.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::bpf::Program;
use super::stream::plain;
use super::{fanout, interface, SourceError};

const ARPHRD_ETHER: u16 = 1;
const ARPHRD_LOOPBACK: u16 = 772;

/// A socket that waits to be bound to its interface: until then nothing comes.
pub(super) struct PacketSocket {
    pub(super) name: String,
    descriptor: OwnedFd,
    hardware: u16,
}

impl PacketSocket {
    /// Open a socket for an interface.
    ///
    /// # Errors
    /// An unknown interface, a right that is missing: one line.
    pub(super) fn open(name: &str) -> Result<PacketSocket, SourceError> {
        interface::index(name)?;
        let hardware = interface::hardware_type(name).unwrap_or(ARPHRD_ETHER);
        // other hardware is read cooked: the kernel takes its header off, frames start with IP
        let kind = if is_ethernet(hardware) { libc::SOCK_RAW } else { libc::SOCK_DGRAM };
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
        let descriptor = unsafe { OwnedFd::from_raw_fd(raw) };
        let socket = PacketSocket { name: name.to_string(), descriptor, hardware };
        if hardware == ARPHRD_LOOPBACK {
            // on loopback each packet would come twice, once as it leaves and once as it arrives
            socket
                .set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1_i32)
                .map_err(|_| socket.failed("this kernel has no PACKET_IGNORE_OUTGOING"))?;
        }
        Ok(socket)
    }

    /// Whether frames start with an Ethernet header; else with IP.
    pub(super) fn is_ethernet(&self) -> bool {
        is_ethernet(self.hardware)
    }

    pub(super) fn raw(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// One line about the system call that failed last.
    pub(super) fn failed(&self, what: &str) -> SourceError {
        SourceError(format!("{}: {what}: {}", self.name, plain(&io::Error::last_os_error())))
    }

    /// Set a socket option that is a plain C struct or integer.
    fn set<T>(&self, level: i32, option: i32, value: &T) -> io::Result<()> {
        let size = size_of::<T>() as libc::socklen_t;
        // SAFETY: the pointer and length are those of `value`, which lives through the call.
        let result = unsafe { libc::setsockopt(self.raw(), level, option, (value as *const T).cast(), size) };
        succeeded(result)
    }

    /// Ask for an option that is a plain C struct or integer; as it was where the kernel does not tell.
    fn get<T: Copy>(&self, level: i32, option: i32, mut value: T) -> T {
        let mut size = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` and `size` are valid for the call to fill, and `size` is that of `value`.
        unsafe { libc::getsockopt(self.raw(), level, option, (&raw mut value).cast(), &mut size) };
        value
    }

    /// Set up a TPACKET_V3 ring, to be mapped by the caller; a block that is not full is handed over
    /// after `retire` milliseconds.
    pub(super) fn set_ring(&self, block: usize, blocks: usize, retire: u32) -> Result<(), SourceError> {
        self.set(libc::SOL_PACKET, libc::PACKET_VERSION, &libc::tpacket_versions::TPACKET_V3)
            .map_err(|_| self.failed("this kernel has no TPACKET_V3"))?;
        let frame = 2048;
        let request = libc::tpacket_req3 {
            tp_block_size: block as u32,
            tp_block_nr: blocks as u32,
            tp_frame_size: frame,
            tp_frame_nr: (blocks * block) as u32 / frame,
            tp_retire_blk_tov: retire,
            tp_sizeof_priv: 0,
            tp_feature_req_word: 0,
        };
        self.set(libc::SOL_PACKET, libc::PACKET_RX_RING, &request)
            .map_err(|_| self.failed(&format!("no memory for a ring of {} bytes (capture.ring)", blocks * block)))
    }

    /// Have each frame preceded by a header that tells its segments' size; to be called before `set_ring`.
    /// Frames that the kernel has no such header for are then dropped: see `superframe_sizes` of the options.
    pub(super) fn tell_segments(&self) -> Result<(), SourceError> {
        self.set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, &1_i32)
            .map_err(|_| self.failed("the kernel does not tell the sizes of segments here (capture.superframes)"))
    }

    /// Set the program that says how much of each frame is taken.
    pub(super) fn attach(&self, program: &Program) -> io::Result<()> {
        let mut code = native(program);
        let length = u16::try_from(code.len()).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let program = libc::sock_fprog { len: length, filter: code.as_mut_ptr() };
        self.set(libc::SOL_SOCKET, libc::SO_ATTACH_FILTER, &program)
    }

    /// Take frames for other stations too.
    pub(super) fn make_promiscuous(&self) -> Result<(), SourceError> {
        let request = libc::packet_mreq {
            mr_ifindex: interface::index(&self.name)?,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &request)
            .map_err(|_| self.failed("cannot be made promiscuous"))
    }

    /// Begin to receive, or begin again where the interface came back under another number.
    pub(super) fn bind(&self) -> io::Result<()> {
        let index = interface::index(&self.name).map_err(|_| io::Error::from_raw_os_error(libc::ENODEV))?;
        // SAFETY: sockaddr_ll is plain data, for which all zeros is a value.
        let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the pointer and length are those of `address`, which lives through the call.
        let result = unsafe { libc::bind(self.raw(), (&raw const address).cast(), size) };
        succeeded(result)
    }

    /// Join the sockets that share this interface's frames; gives the group's number for the next. To be
    /// called once it is bound, and while it takes nothing: until then each socket gets every frame.
    pub(super) fn join(&self, group: Option<u16>) -> Result<u16, SourceError> {
        // the kernel chooses a number for the first
        let flags = if group.is_none() { libc::PACKET_FANOUT_FLAG_UNIQUEID } else { 0 };
        let mode = libc::PACKET_FANOUT_CBPF | flags;
        let request = u32::from(group.unwrap_or(0)) | (mode << 16);
        let refused = |_| self.failed("the kernel does not share the frames among workers (capture.workers)");
        self.set(libc::SOL_PACKET, libc::PACKET_FANOUT, &request).map_err(refused)?;
        if let Some(group) = group {
            return Ok(group);
        }
        let mut code = native(&fanout::program()?);
        let program = libc::sock_fprog { len: code.len() as u16, filter: code.as_mut_ptr() };
        self.set(libc::SOL_PACKET, libc::PACKET_FANOUT_DATA, &program).map_err(refused)?;
        Ok(self.get(libc::SOL_PACKET, libc::PACKET_FANOUT, 0_u32) as u16)
    }

    /// `tp_packets` and `tp_drops` since they were asked for last; asking sets them to zero.
    pub(super) fn statistics(&self) -> (u64, u64) {
        let zero = libc::tpacket_stats_v3 { tp_packets: 0, tp_drops: 0, tp_freeze_q_cnt: 0 };
        let stats = self.get(libc::SOL_PACKET, libc::PACKET_STATISTICS, zero);
        (u64::from(stats.tp_packets), u64::from(stats.tp_drops))
    }

    /// The error that waits on the socket, 0 for none; asking clears it.
    pub(super) fn take_error(&self) -> i32 {
        self.get(libc::SOL_SOCKET, libc::SO_ERROR, 0)
    }
}

fn is_ethernet(hardware: u16) -> bool {
    hardware == ARPHRD_ETHER || hardware == ARPHRD_LOOPBACK
}

/// A program as the kernel takes it.
fn native(program: &Program) -> Vec<libc::sock_filter> {
    let one = |one: &super::bpf::Instruction| libc::sock_filter { code: one.code, jt: one.jt, jf: one.jf, k: one.k };
    program.instructions().iter().map(one).collect()
}

fn succeeded(result: i32) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
