//! Which DNS servers are believed: only their answers say which name an address stands for.

use super::Address;
use crate::maps::Set;

/// The resolvers whose answers count. Which they are is said in `monitor/attribute/resolvers.py`.
pub struct Resolvers {
    /// The configured ones. Empty: every local address, and the public ones.
    configured: Vec<Address>,
    public: Set<Address>,
    /// Networks, their prefix lengths in IPv6, and whether they are local; those that are not are multicast.
    ranges: Vec<(Address, u8, bool)>,
}

impl Resolvers {
    /// Say which they are; of several ranges around an address the longest counts.
    pub fn new(configured: Vec<Address>, public: Vec<Address>, mut ranges: Vec<(Address, u8, bool)>) -> Resolvers {
        ranges.sort_by_key(|(_, prefix, _)| std::cmp::Reverse(*prefix));
        Resolvers { configured, public: public.into_iter().collect(), ranges }
    }

    /// The configured ones.
    pub fn configured(&self) -> &[Address] {
        &self.configured
    }

    /// Whether answers from a server count; `local`: the flow that carried them had two local sides, whatever
    /// ranges these are in.
    pub fn is_listed(&self, server: &Address, local: bool) -> bool {
        if !self.configured.is_empty() {
            return self.configured.contains(server);
        }
        self.range(server).unwrap_or_else(|| local || self.is_public(server))
    }

    /// Whether the address is in a range that is local by default.
    pub fn is_private(&self, address: &Address) -> bool {
        self.range(address) == Some(true)
    }

    /// Whether this is a well-known public resolver, configured or not.
    pub fn is_public(&self, server: &Address) -> bool {
        self.public.contains(server)
    }

    fn range(&self, address: &Address) -> Option<bool> {
        let bits = u128::from_be_bytes(*address);
        let within = |network: &Address, prefix: u8| {
            let differ = bits ^ u128::from_be_bytes(*network);
            differ.leading_zeros() >= u32::from(prefix)
        };
        self.ranges.iter().find(|(network, prefix, _)| within(network, *prefix)).map(|(_, _, local)| *local)
    }
}
