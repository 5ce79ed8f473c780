//! Flows with resolvers that are asked over TLS, HTTPS or QUIC: their names are seen by nobody here.
//!
//! RFC 7858 (TLS) and RFC 9250 (QUIC) have port 853 for it; RFC 8484 (HTTPS) has 443 like everything else, so
//! there the addresses and names of the well-known resolvers tell.

use arrow_array::types::{UInt16Type, UInt32Type, UInt64Type};
use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};

use crate::columns::{bits, numbers, Address, Addresses, Closed, Optional, Rows, Unreadable, WORD};
use crate::maps::{Map, Set};

const DNS_OVER_TLS: u16 = 853;
const HTTPS: u16 = 443;
/// `unknown`: first seen in its middle.
const ENCRYPTED: [&str; 4] = ["tls", "quic", "dtls", "unknown"];
/// What the address of a resolver is asked in clear.
const PLAIN: [&str; 3] = ["dns", "icmp", "ntp"];

/// The well-known public resolvers, by address.
pub struct PublicResolvers {
    addresses: Set<Address>,
}

/// Which rows are with a resolver that is asked out of sight.
#[derive(Debug)]
pub struct OutOfSight {
    /// For each row.
    pub rows: BooleanBuffer,
    /// Their bytes in both directions by `local_id`, in the order of their first rows.
    pub bytes: Vec<(u32, u64)>,
}

impl PublicResolvers {
    /// Say which they are.
    pub fn new(addresses: Vec<Address>) -> PublicResolvers {
        PublicResolvers { addresses: addresses.into_iter().collect() }
    }

    /// Mark the rows of a batch (`FLOW_SCHEMA`). `claimed` says by `name_id` which names are a resolver's, and `told`
    /// by the place of an answer ([`crate::dns::Seen::found`]) which answers led to one; the first is of no answer.
    pub fn out_of_sight(
        &self,
        flows: &Rows,
        found: &[u32],
        claimed: &[bool],
        told: &[bool],
    ) -> Result<OutOfSight, Unreadable> {
        let rows = Telling::new(flows)?;
        let (any_claimed, any_told) = (claimed.contains(&true), told.contains(&true));
        let is_one =
            |place: Option<usize>, all: &[bool]| place.and_then(|place| all.get(place)).copied().unwrap_or_default();
        let mut public: Vec<Option<bool>> = Vec::new();
        let mut marked = BooleanBufferBuilder::new(rows.remote_port.len());
        marked.append_n(rows.remote_port.len(), false);
        let mut sums = Sums::default();
        // what may be one is told for many rows at once, since a branch on what a row is goes wrong as often as not
        for (place, ports) in rows.remote_port.chunks(WORD).enumerate() {
            let from = place * WORD;
            let range = from..from + ports.len();
            let mut may_be = bits(ports, |port| *port == HTTPS || *port == DNS_OVER_TLS);
            if any_claimed {
                may_be |= rows.name_id.there(range.clone());
            }
            if any_told {
                may_be |= bits(found.get(range).unwrap_or_default(), |place| *place > 0);
            }
            while may_be != 0 {
                let row = from + may_be.trailing_zeros() as usize;
                may_be &= may_be - 1;
                let port = rows.remote_port.get(row).copied().unwrap_or_default();
                let is_marked = (port == HTTPS && self.is_public(&rows, row, &mut public))
                    || (port == DNS_OVER_TLS && rows.encrypted.is(row))
                    || (any_claimed && is_one(rows.name_id.get(row).map(|name| name as usize), claimed))
                    || (any_told && is_one(found.get(row).map(|place| *place as usize), told) && !rows.plain.is(row));
                if is_marked {
                    marked.set_bit(row, true);
                    sums.add(&rows, row);
                }
            }
        }
        Ok(OutOfSight { rows: marked.finish(), bytes: sums.all })
    }

    fn is_public(&self, rows: &Telling<'_>, row: usize, known: &mut Vec<Option<bool>>) -> bool {
        let Some(number) = rows.remote_id.get(row).map(|number| *number as usize) else { return false };
        if number >= known.len() {
            known.resize(number + 1, None);
        }
        let look = || self.addresses.contains(&rows.remote.get(row));
        known.get_mut(number).is_some_and(|known| *known.get_or_insert_with(look))
    }
}

/// The columns that tell.
struct Telling<'a> {
    local_id: &'a [u32],
    remote: Addresses<'a>,
    remote_id: &'a [u32],
    remote_port: &'a [u16],
    name_id: Optional<'a, UInt32Type>,
    encrypted: Closed<'a>,
    plain: Closed<'a>,
    bytes_out: &'a [u64],
    bytes_in: &'a [u64],
}

impl<'a> Telling<'a> {
    fn new(flows: &'a Rows) -> Result<Telling<'a>, Unreadable> {
        Ok(Telling {
            local_id: numbers::<UInt32Type>(flows, "local_id")?,
            remote: Addresses::new(flows, "remote_address")?,
            remote_id: numbers::<UInt32Type>(flows, "remote_id")?,
            remote_port: numbers::<UInt16Type>(flows, "remote_port")?,
            name_id: Optional::new(flows, "name_id")?,
            encrypted: Closed::new(flows, "application", &ENCRYPTED)?,
            plain: Closed::new(flows, "application", &PLAIN)?,
            bytes_out: numbers::<UInt64Type>(flows, "bytes_out")?,
            bytes_in: numbers::<UInt64Type>(flows, "bytes_in")?,
        })
    }
}

/// Bytes by `local_id`, in the order of their first rows.
#[derive(Default)]
struct Sums {
    places: Map<u32, usize>,
    all: Vec<(u32, u64)>,
}

impl Sums {
    fn add(&mut self, rows: &Telling<'_>, row: usize) {
        let Some(local) = rows.local_id.get(row) else { return };
        let place = *self.places.entry(*local).or_insert_with(|| {
            self.all.push((*local, 0));
            self.all.len() - 1
        });
        let amount = |bytes: &[u64]| bytes.get(row).copied().unwrap_or_default();
        if let Some((_, sum)) = self.all.get_mut(place) {
            *sum = sum.saturating_add(amount(rows.bytes_out).saturating_add(amount(rows.bytes_in)));
        }
    }
}
