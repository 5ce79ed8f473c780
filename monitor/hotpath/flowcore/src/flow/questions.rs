//! DNS questions that wait for an answer, and the rows of both.

use super::asked::Asked;
use super::key::{mapped, Seed};
use super::record::{DnsRows, NONE};
use super::slot::Scope;
use crate::decode::dns::{self, Section, Value};

/// Questions that are remembered: some 3 MiB.
const MAX_QUESTIONS: usize = 1 << 16;
/// An answer that comes later than this answers nobody.
const MAX_WAIT: i64 = 60_000_000_000;
/// The pseudo record of RFC 6891.
const OPT: u16 = 41;

/// One DNS message on its way.
pub(super) struct Message<'a> {
    pub(super) tick: i64,
    pub(super) time: i64,
    pub(super) scope: Scope,
    pub(super) source: ([u8; 16], u16),
    pub(super) destination: ([u8; 16], u16),
    pub(super) bytes: &'a [u8],
    pub(super) length: u32,
}

/// What reading a message came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// No DNS query or response.
    NotDns,
    /// One; true for a question.
    Message(bool),
    /// One that does not hold what it announces; what came before was taken.
    Malformed(bool),
}

/// Remembers questions, so that an answer can be matched with one.
#[derive(Debug)]
pub(super) struct Questions {
    seed: Seed,
    reader: dns::Reader,
    /// By the hash of client, resolver, port, id and name.
    asked: Asked,
    /// Bytes that the rows of a batch may take.
    room: usize,
    pub(super) rows_dropped: u64,
}

impl Questions {
    pub(super) fn new(room: usize) -> Questions {
        let reader = dns::Reader::default();
        Questions { seed: Seed::random(), reader, asked: Asked::new(MAX_QUESTIONS, MAX_WAIT), room, rows_dropped: 0 }
    }

    /// Questions that were forgotten before an answer could have come, because there were too many.
    pub(super) fn evicted(&mut self) -> u64 {
        self.asked.evicted()
    }

    /// Read a message into rows.
    pub(super) fn read(&mut self, message: &Message<'_>, rows: &mut DnsRows) -> Read {
        let Some(head) = dns::head(message.bytes) else { return Read::NotDns };
        let (client, resolver) =
            if head.response { (message.destination, message.source) } else { (message.source, message.destination) };
        let mut question = NONE;
        // the newest name is that of the question, which has a number
        let mut is_asked = false;
        let mut remembered_by = None;
        let mut index: u16 = 0;
        let mut records = 0_usize;
        let Questions { seed, reader, asked, room, rows_dropped } = self;
        let result = reader.records(message.bytes, |record| {
            is_asked &= record.again;
            if record.section == Section::Question && remembered_by.is_none() {
                if rows.held() < *room {
                    question = rows.texts.push(record.owner);
                }
                let key = key(seed, client, resolver, head.id, record.owner);
                asked.prefetch(key);
                remembered_by = Some(key);
            }
            let place = index;
            index = index.saturating_add(1);
            // a question is told by its own message, not again by the answer; OPT (RFC 6891) is no record
            let is_question = record.section == Section::Question;
            if record.rtype == OPT || (is_question && head.response) {
                return;
            }
            records += 1;
            if rows.held() >= *room {
                *rows_dropped += 1;
                return;
            }
            // most answers belong to the name that was asked
            is_asked = is_asked || rows.texts.is(question, record.owner);
            let owner = match (is_question, is_asked) {
                (true, _) => NONE,
                (_, true) => question,
                _ => rows.texts.push(record.owner),
            };
            let (value, address) = match record.value {
                Value::V4(four) => (rows.texts.push_v4(four), Some(mapped(four))),
                Value::V6(sixteen) => (rows.texts.push_v6(sixteen), Some(sixteen)),
                Value::Name(name) => (rows.texts.push(name), None),
                Value::Other => (NONE, None),
            };
            rows.push_common(message, &head, client, resolver, question);
            rows.answer.push(!is_question);
            rows.owner.push(owner);
            rows.rtype.push(record.rtype);
            rows.value.push(value);
            rows.address.push(address);
            rows.ttl.push((!is_question).then_some(record.ttl));
            rows.section.push(record.section as u8);
            rows.record_index.push(place);
        });
        if head.response && records == 0 && question != NONE && rows.held() < *room {
            // an answer that holds nothing (NXDOMAIN, NODATA) is one row without a record
            rows.push_common(message, &head, client, resolver, question);
            rows.answer.push(true);
            rows.owner.push(NONE);
            rows.rtype.push(0);
            rows.value.push(NONE);
            rows.address.push(None);
            rows.ttl.push(None);
            rows.section.push(Section::Question as u8);
            rows.record_index.push(0);
        }
        // by now the place that was asked for has come
        let mut matched = false;
        if let (Some(key), true) = (remembered_by, head.query) {
            if head.response {
                let waited = asked.time(key).map(|time| message.time.saturating_sub(time));
                matched = waited.is_some_and(|waited| (0..=MAX_WAIT).contains(&waited));
            } else {
                asked.remember(key, message.time);
            }
        }
        rows.matched.resize(rows.tick.len(), matched);
        match result {
            Ok(()) => Read::Message(!head.response),
            Err(dns::Malformed) if index == 0 => Read::NotDns,
            Err(dns::Malformed) => Read::Malformed(!head.response),
        }
    }
}

/// What a question is remembered by.
fn key(seed: &Seed, client: ([u8; 16], u16), resolver: ([u8; 16], u16), id: u16, name: &[u8]) -> u64 {
    let ports = (u64::from(client.1) << 32) | (u64::from(resolver.1) << 16) | u64::from(id);
    let ends = seed.bytes(seed.bytes(ports, &client.0), &resolver.0);
    seed.bytes(ends, name)
}

/// What a row takes beside its texts.
const ROW: usize = 128;

impl DnsRows {
    /// Bytes that the rows take.
    pub(super) fn held(&self) -> usize {
        self.tick.len() * ROW + self.texts.len()
    }

    /// The columns that all rows of a message share, but for whether it was asked for.
    fn push_common(
        &mut self,
        message: &Message<'_>,
        head: &dns::Head,
        client: ([u8; 16], u16),
        resolver: ([u8; 16], u16),
        question: u32,
    ) {
        self.tick.push(message.tick);
        self.time.push(message.time);
        self.scope.push(message.scope as u8);
        self.client.push(client.0);
        self.resolver.push(resolver.0);
        self.client_port.push(client.1);
        self.resolver_port.push(resolver.1);
        self.query_id.push(head.id);
        self.question.push(question);
        self.rcode.push(head.response.then_some(head.rcode));
        self.message_bytes.push(message.length);
    }
}
