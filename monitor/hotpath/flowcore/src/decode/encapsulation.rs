//! How a packet came: the innermost tunnel around it.

use crate::closed_set::closed_set;

closed_set! {
    /// What can be around an IP packet. The names are the values of the column `tunnel`.
    Tunnel {
        /// IEEE 802.1Q and 802.1ad tags; told where there is no other tunnel.
        Vlan = "vlan",
        /// MPLS labels (RFC 3032), Ethernet over them included (RFC 4448).
        Mpls = "mpls",
        /// PPP over Ethernet (RFC 2516).
        Pppoe = "pppoe",
        /// GRE (RFC 2784, RFC 2890, RFC 7637), and PPTP's (RFC 2637).
        Gre = "gre",
        /// ERSPAN, all types: a switch's mirror over GRE.
        Erspan = "erspan",
        /// IP in IP (RFC 2003, RFC 2473).
        Ipip = "ipip",
        /// IPv6 in IPv4 (RFC 4213).
        SixInFour = "6in4",
        /// VXLAN (RFC 7348), and its generic form.
        Vxlan = "vxlan",
        /// Geneve (RFC 8926).
        Geneve = "geneve",
        /// GTP-U version 1 (3GPP TS 29.281).
        Gtpu = "gtpu",
        /// L2TP version 2 (RFC 2661) and 3 (RFC 3931).
        L2tp = "l2tp",
        /// Teredo (RFC 4380).
        Teredo = "teredo",
        /// Network service header (RFC 8300).
        Nsh = "nsh",
    }
}

/// The innermost tunnel of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encapsulation {
    /// Its kind; `None` where there is none.
    pub tunnel: Option<Tunnel>,
    /// VLAN id, label, session, key, VNI, TEID, path id; 0 where there is none. L2TP version 2: the tunnel's
    /// id in the upper half, the session's in the lower.
    pub id: u32,
    /// What of it is part of the flow's key; 0: nothing.
    ///
    /// Only an id that is the same in both directions may be: a VNI, a GRE key, an ERSPAN or PPPoE session.
    /// Each direction has its own MPLS labels, TEID, L2TP session, PPTP call and service path, so a flow
    /// with those in its key would never meet its answers. A tunnel without such an id leaves that of the
    /// tunnel around it.
    pub key: u32,
}

impl Encapsulation {
    /// A tunnel whose id is the same in both directions.
    pub(super) fn shared(self, tunnel: Tunnel, id: u32) -> Encapsulation {
        Encapsulation { tunnel: Some(tunnel), id, key: if id == 0 { self.key } else { id } }
    }

    /// A tunnel whose id is of one direction only, or that has none (0).
    pub(super) fn one_way(self, tunnel: Tunnel, id: u32) -> Encapsulation {
        Encapsulation { tunnel: Some(tunnel), id, key: self.key }
    }

    /// A VLAN tag: the inner of two tags is told, and any other tunnel before a tag.
    #[inline]
    pub(super) fn tagged(self, id: u16) -> Encapsulation {
        match self.tunnel {
            None | Some(Tunnel::Vlan) => Encapsulation { tunnel: Some(Tunnel::Vlan), id: u32::from(id), key: self.key },
            Some(_) => self,
        }
    }

    /// Add the tag that a kernel took out of the frame: the outermost of all.
    pub fn add_outer_tag(&mut self, id: u16) {
        if self.tunnel.is_none() {
            *self = self.tagged(id);
        }
    }
}
