//! Super-frames: what the kernel handles as one frame and the wire carries as several.
//!
//! The host's own TCP leaves the stack uncut (TSO, GSO), and what comes is joined before anybody sees it
//! (GRO, LRO). Counted as they are, they lack the headers that each segment has on the wire.

/// Bytes of the header that PACKET_VNET_HDR puts before a frame (struct virtio_net_hdr, virtio 1.2 section
/// 5.1.6): flags, type, header length, segment size, and where a checksum goes.
pub(super) const HEADER: usize = 10;
const SEGMENT_AT: usize = 4;

/// Payload bytes of a segment, out of the header that ends where the frame begins; 0: no super-frame.
pub(super) fn told(memory: &[u8], frame: usize) -> u16 {
    let Some(at) = frame.checked_sub(HEADER - SEGMENT_AT) else { return 0 };
    memory.get(at..at + 2).and_then(|two| two.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

/// Header bytes that the wire carries beyond the ones that were seen: each segment but one repeats them.
///
/// `frame` and `payload` are the bytes of the super-frame and of what is above its transport header. Where
/// nobody told the `segment`'s payload, it is taken to fill a frame of `longest` bytes.
#[must_use]
pub fn repeated_headers(frame: u32, payload: u64, segment: u16, longest: u32) -> u64 {
    let headers = u64::from(frame).saturating_sub(payload);
    let filling = u64::from(longest).saturating_sub(headers);
    let size = if segment == 0 { filling } else { u64::from(segment) };
    if size == 0 {
        return 0;
    }
    payload.div_ceil(size).saturating_sub(1) * headers
}

#[cfg(test)]
mod tests {
    use super::{repeated_headers, told};

    #[test]
    fn each_segment_but_one_repeats_the_headers() {
        // 10 segments of 1448 bytes behind Ethernet, IPv4 and TCP with time stamps: 14 + 20 + 32
        assert_eq!(repeated_headers(66 + 14480, 14480, 1448, 1514), 9 * 66);
        assert_eq!(repeated_headers(66 + 14480, 14480, 0, 1514), 9 * 66, "the same from the longest frame");
        assert_eq!(repeated_headers(66 + 14481, 14481, 1448, 1514), 10 * 66, "the rest is a segment too");
        assert_eq!(repeated_headers(42 + 3600, 3600, 1200, 1514), 2 * 42, "QUIC: smaller than could be");
        assert_eq!(repeated_headers(1514, 1448, 0, 1514), 0);
    }

    #[test]
    fn nothing_that_a_header_claims_makes_it_panic() {
        assert_eq!(repeated_headers(60, u64::MAX, 0, 0), 0);
        assert_eq!(repeated_headers(60, u64::from(u32::MAX), 1, 1514), 0, "no headers are left to repeat");
        assert_eq!(repeated_headers(u32::MAX, 0, 0, 1514), 0);
    }

    #[test]
    fn the_size_stands_before_the_frame() {
        let mut memory = vec![0_u8; 16];
        memory[10..12].copy_from_slice(&1448_u16.to_ne_bytes());
        assert_eq!(told(&memory, 16), 1448);
        assert_eq!(told(&memory, 5), 0);
        assert_eq!(told(&memory, 400), 0);
    }
}
