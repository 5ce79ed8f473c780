//! Why a frame has no flow, and what can be wrong with one that has.

use crate::closed_set::closed_set;

closed_set! {
    /// Why a frame gives no packet. The names are values of the metrics' label `reason`.
    Reason {
        /// A link type that is not decoded.
        LinkType = "link_type",
        /// The frame ends inside its link header.
        LinkTruncated = "link_truncated",
        /// Not IP: ARP, LLDP, spanning tree and the like.
        NotIp = "not_ip",
        /// The capture ends inside the IP header or its extensions.
        IpTruncated = "ip_truncated",
        /// The version is not the one announced, or neither 4 nor 6.
        IpVersion = "ip_version",
        /// A header length or total length that cannot be (RFC 791 section 3.1).
        IpLength = "ip_length",
        /// A chain of IPv6 extension headers without end.
        ExtensionChain = "extension_chain",
        /// Layers in layers, deeper than any network has them.
        TunnelDepth = "tunnel_depth",
        /// The capture ends before the ports.
        PortsTruncated = "ports_truncated",
    }
}

closed_set! {
    /// What is wrong above the ports; the frame counts in its flow all the same.
    Fault {
        /// A data offset under 5 or past the segment (RFC 9293 section 3.1).
        TcpOffset = "tcp_offset",
        /// The capture or the packet ends inside the transport header.
        TransportTruncated = "transport_truncated",
        /// A UDP length under 8 or past the datagram (RFC 768).
        UdpLength = "udp_length",
        /// A fragment that covers bytes which another one brought (RFC 1858, RFC 5722); copies of a fragment too.
        FragmentOverlap = "fragment_overlap",
        /// A DNS message that does not hold what it announces.
        Dns = "dns",
        /// A TLS ClientHello that does not hold what it announces.
        Tls = "tls",
    }
}
