//! The columns of a batch that this reads (`FLOW_SCHEMA` and `DNS_SCHEMA` in `monitor/flow_batch.py`).

use arrow_array::types::{
    TimestampMillisecondType, TimestampNanosecondType, UInt16Type, UInt32Type, UInt64Type, UInt8Type,
};
use arrow_array::{Array, BinaryViewArray, BooleanArray};
use arrow_buffer::NullBuffer;

use super::MILLISECOND;
use crate::columns::{
    binary, column, flags, is_there, numbers, Address, Addresses, Closed, Optional, Rows, Texts, Unreadable,
};

/// Rows of flows.
pub(crate) struct FlowRows<'a> {
    pub(crate) rows: usize,
    /// Milliseconds since 1970.
    pub(crate) tick: &'a [i64],
    pub(crate) flow_id: &'a [u64],
    /// Nanoseconds since 1970.
    pub(crate) started: &'a [i64],
    pub(crate) first_seen: &'a [i64],
    packets: [&'a [u64]; 2],
    pub(crate) local_id: &'a [u32],
    pub(crate) remote_id: &'a [u32],
    pub(crate) egress: Closed<'a>,
    pub(crate) began_remote: Closed<'a>,
    /// The client sent a name in clear in its handshake.
    pub(crate) client_named: Closed<'a>,
    ended: Option<&'a NullBuffer>,
    local: Addresses<'a>,
    remote: Addresses<'a>,
}

impl<'a> FlowRows<'a> {
    pub(crate) fn new(rows: &'a Rows) -> Result<FlowRows<'a>, Unreadable> {
        Ok(FlowRows {
            rows: rows.own.num_rows(),
            tick: numbers::<TimestampMillisecondType>(rows, "tick")?,
            flow_id: numbers::<UInt64Type>(rows, "flow_id")?,
            started: numbers::<TimestampNanosecondType>(rows, "started")?,
            first_seen: numbers::<TimestampNanosecondType>(rows, "first_seen")?,
            packets: [numbers::<UInt64Type>(rows, "packets_out")?, numbers::<UInt64Type>(rows, "packets_in")?],
            local_id: numbers::<UInt32Type>(rows, "local_id")?,
            remote_id: numbers::<UInt32Type>(rows, "remote_id")?,
            egress: Closed::new(rows, "scope", &["egress"])?,
            began_remote: Closed::new(rows, "initiator", &["remote"])?,
            client_named: Closed::new(rows, "name_source", &["sni", "quic_sni", "dtls_sni"])?,
            ended: column(rows, "ended")?.nulls(),
            local: Addresses::new(rows, "local_address")?,
            remote: Addresses::new(rows, "remote_address")?,
        })
    }

    /// Whether a row holds the first packet of its connection: later ones begin later, and some have no packets.
    pub(crate) fn is_first(&self, row: usize) -> bool {
        self.first_seen[row] <= self.started[row] && self.packets.iter().any(|packets| packets[row] > 0)
    }

    pub(crate) fn local(&self, row: usize) -> Address {
        self.local.get(row)
    }

    pub(crate) fn remote(&self, row: usize) -> Address {
        self.remote.get(row)
    }

    /// By `remote_id` the remote address; `None` where no row has it.
    pub(crate) fn remotes(&self) -> Vec<Option<Address>> {
        if let Some(addresses) = self.remote.by_number() {
            return addresses.map(Some).collect();
        }
        let mut addresses: Vec<Option<Address>> = Vec::new();
        for (row, remote) in self.remote_id.iter().enumerate() {
            let remote = *remote as usize;
            if remote >= addresses.len() {
                addresses.resize(remote + 1, None);
            }
            addresses[remote].get_or_insert_with(|| self.remote(row));
        }
        addresses
    }

    pub(crate) fn has_ended(&self, row: usize) -> bool {
        is_there(self.ended, row)
    }

    /// When the flow of a row counts as begun: one whose first packet came late, before its tick, comes before
    /// the answers of the tick.
    pub(crate) fn moment(&self, row: usize) -> i64 {
        self.started[row].max(self.tick[row].saturating_mul(MILLISECOND).saturating_sub(1))
    }
}

/// Rows of DNS messages.
pub(crate) struct DnsRows<'a> {
    pub(crate) rows: usize,
    tick: &'a [i64],
    time: &'a [i64],
    pub(crate) question: Closed<'a>,
    /// The row stands in the answer section.
    pub(crate) answer_section: Closed<'a>,
    pub(crate) internal: Closed<'a>,
    pub(crate) client_id: &'a [u32],
    pub(crate) resolver_id: &'a [u32],
    pub(crate) question_id: &'a [u32],
    pub(crate) client_port: &'a [u16],
    pub(crate) resolver_port: &'a [u16],
    pub(crate) query_id: &'a [u16],
    pub(crate) record_type: &'a [u16],
    pub(crate) matched: &'a BooleanArray,
    asked: Texts<'a>,
    owner: Texts<'a>,
    value: Texts<'a>,
    rcode: Optional<'a, UInt8Type>,
    ttl: Optional<'a, UInt32Type>,
    client: Addresses<'a>,
    resolver: Addresses<'a>,
    address: &'a BinaryViewArray,
}

impl<'a> DnsRows<'a> {
    pub(crate) fn new(rows: &'a Rows) -> Result<DnsRows<'a>, Unreadable> {
        Ok(DnsRows {
            rows: rows.own.num_rows(),
            tick: numbers::<TimestampMillisecondType>(rows, "tick")?,
            time: numbers::<TimestampNanosecondType>(rows, "time")?,
            question: Closed::new(rows, "kind", &["question"])?,
            answer_section: Closed::new(rows, "section", &["answer"])?,
            internal: Closed::new(rows, "scope", &["internal"])?,
            client_id: numbers::<UInt32Type>(rows, "client_id")?,
            resolver_id: numbers::<UInt32Type>(rows, "resolver_id")?,
            question_id: numbers::<UInt32Type>(rows, "question_id")?,
            client_port: numbers::<UInt16Type>(rows, "client_port")?,
            resolver_port: numbers::<UInt16Type>(rows, "resolver_port")?,
            query_id: numbers::<UInt16Type>(rows, "query_id")?,
            record_type: numbers::<UInt16Type>(rows, "type")?,
            matched: flags(rows, "matched")?,
            asked: Texts::new(rows, "question")?,
            owner: Texts::new(rows, "owner")?,
            value: Texts::new(rows, "value")?,
            rcode: Optional::new(rows, "rcode")?,
            ttl: Optional::new(rows, "ttl")?,
            client: Addresses::new(rows, "client")?,
            resolver: Addresses::new(rows, "resolver")?,
            address: binary(rows, "address")?,
        })
    }

    /// When what was seen counts: at the time of its packet, but not before the tick that it came in, so that a
    /// packet that came late changes nothing in a tick that is over.
    pub(crate) fn moment(&self, row: usize) -> i64 {
        self.time[row].max(self.tick[row].saturating_mul(MILLISECOND))
    }

    pub(crate) fn client(&self, row: usize) -> Address {
        self.client.get(row)
    }

    pub(crate) fn resolver(&self, row: usize) -> Address {
        self.resolver.get(row)
    }

    /// Whether it is known what was asked for.
    pub(crate) fn is_asked(&self, row: usize) -> bool {
        self.asked.get(row).is_some()
    }

    /// The name asked for.
    pub(crate) fn asked(&self, row: usize) -> &'a str {
        self.asked.get(row).unwrap_or_default()
    }

    /// The name that the record belongs to.
    pub(crate) fn owner(&self, row: usize) -> &'a str {
        self.owner.get(row).unwrap_or_default()
    }

    /// What the record says, where that is text.
    pub(crate) fn value(&self, row: usize) -> &'a str {
        self.value.get(row).unwrap_or_default()
    }

    /// The address of an A or AAAA record.
    pub(crate) fn address(&self, row: usize) -> Option<Address> {
        self.address.is_valid(row).then(|| self.address.value(row).try_into().unwrap_or_default())
    }

    /// 0 where there is none.
    pub(crate) fn ttl(&self, row: usize) -> u32 {
        self.ttl.get(row).unwrap_or_default()
    }

    /// The message is a response without an error.
    pub(crate) fn is_success(&self, row: usize) -> bool {
        self.rcode.get(row) == Some(0)
    }

    /// Whether two rows are of the same message, where they stand side by side.
    pub(crate) fn is_same_message(&self, one: usize, other: usize) -> bool {
        self.query_id[one] == self.query_id[other]
            && self.client_id[one] == self.client_id[other]
            && self.resolver_id[one] == self.resolver_id[other]
            && self.client_port[one] == self.client_port[other]
            && self.resolver_port[one] == self.resolver_port[other]
            && self.question_id[one] == self.question_id[other]
            && self.moment(one) == self.moment(other)
    }
}
