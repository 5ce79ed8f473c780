//! Which end of a flow is ours: design section 4, "Sides".

use crate::decode::Addresses;

use super::key::MAPPED;
use super::slot::Scope;

/// An address prefix; IPv4 as IPv4-mapped IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    mask: u128,
}

impl Network {
    /// A network of `prefix` bits, counted in IPv6: an IPv4 /24 is a /120 of its mapped address.
    pub fn new(address: [u8; 16], prefix: u8) -> Network {
        let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
        Network { bits: u128::from_be_bytes(address) & mask, mask }
    }

    fn holds(&self, address: u128) -> bool {
        address & self.mask == self.bits
    }
}

/// What is local, and which local addresses speak for the outside.
#[derive(Clone, Debug, Default)]
pub struct Sides {
    /// Networks on our side.
    pub local: Vec<Network>,
    /// Load balancers, proxies, NAT: local addresses, flows with which are egress.
    pub gateways: Vec<Network>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Local,
    Gateway,
    Remote,
}

impl Sides {
    /// The scope of a flow by its first packet, and whether the sender of that is the local side.
    pub(super) fn of(&self, addresses: &Addresses) -> (Scope, bool) {
        let (source, destination) = match *addresses {
            Addresses::V4 { source, destination } => {
                (MAPPED | u128::from(u32::from_be_bytes(source)), MAPPED | u128::from(u32::from_be_bytes(destination)))
            }
            Addresses::V6 { source, destination } => (u128::from_be_bytes(source), u128::from_be_bytes(destination)),
        };
        if to_many(destination) {
            return (Scope::Internal, true);
        }
        match (self.kind(source), self.kind(destination)) {
            (Kind::Local, Kind::Remote | Kind::Gateway) | (Kind::Gateway, Kind::Remote) => (Scope::Egress, true),
            (Kind::Remote | Kind::Gateway, Kind::Local) | (Kind::Remote, Kind::Gateway) => (Scope::Egress, false),
            (Kind::Local, Kind::Local) | (Kind::Gateway, Kind::Gateway) => (Scope::Internal, true),
            (Kind::Remote, Kind::Remote) => (Scope::Transit, true),
        }
    }

    fn kind(&self, address: u128) -> Kind {
        if self.gateways.iter().any(|network| network.holds(address)) {
            Kind::Gateway
        } else if unspecified(address) || self.local.iter().any(|network| network.holds(address)) {
            Kind::Local
        } else {
            Kind::Remote
        }
    }
}

/// A host that has no address yet is one of ours: 0.0.0.0 (RFC 1122 section 3.2.1.3) and `::`.
fn unspecified(address: u128) -> bool {
    address == 0 || address == MAPPED
}

/// Multicast (224.0.0.0/4, ff00::/8) or the limited broadcast.
fn to_many(address: u128) -> bool {
    if address >> 32 == 0xffff {
        let v4 = address as u32;
        v4 >> 28 == 0xe || v4 == u32::MAX
    } else {
        address >> 120 == 0xff
    }
}
