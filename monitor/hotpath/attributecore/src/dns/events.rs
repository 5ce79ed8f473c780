//! From the rows of a DNS batch to what passive DNS may believe, in order of time.
//!
//! An answer counts only where it matches a question that was seen and comes from a listed resolver; one on
//! its way to a listed resolver counts for the clients of that resolver.

use std::sync::Arc;

use arrow_array::Array;

use super::memory::Counts;
use super::passive::{Chain, PassiveDns};
use super::resolvers::Resolvers;
use super::rows::DnsRows;
use super::Address;
use crate::maps::Map;

/// RFC 1035 section 3.2.2, RFC 3596 section 2.1.
const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
/// Names; resolvers give up at about as many.
const LONGEST_CHAIN: usize = 16;

/// Something that passive DNS is to know.
pub(crate) struct Event {
    /// Nanoseconds since 1970.
    pub(crate) moment: i64,
    pub(crate) client: Address,
    pub(crate) what: What,
}

pub(crate) enum What {
    /// The client asked this listed resolver, the first time in this batch.
    Asked(Address),
    /// The client was told an address; `direct`: by a listed resolver.
    Told { address: Address, ttl: u32, chain: Chain, direct: bool },
}

impl Event {
    /// Let passive DNS know.
    pub(crate) fn tell(&self, passive: &mut PassiveDns, counts: &mut Counts) {
        match &self.what {
            What::Asked(resolver) => passive.ask(self.client, *resolver),
            What::Told { address, ttl, chain, direct } => {
                if !passive.learn(self.client, *address, self.moment, *ttl, chain, *direct) {
                    counts.unlisted += 1;
                }
            }
        }
    }
}

/// The events of a batch in order of time, and for each row whether its resolver is one whose answers count.
pub(crate) fn read(rows: &DnsRows<'_>, resolvers: &Resolvers, counts: &mut Counts) -> (Vec<Event>, Vec<bool>) {
    let mut reader = Reader::new(rows, resolvers);
    let (mut listed, mut ours) = (Vec::with_capacity(rows.rows), Vec::with_capacity(rows.rows));
    for row in 0..rows.rows {
        let (server, internal) = (reader.server(row), rows.internal.is(row));
        listed.push(if internal { server.listed_inside } else { server.listed_outside });
        // what strangers ask a server of ours is left out: they could fill the memory with forged senders
        if internal || !server.private || reader.is_private_client(row) {
            ours.push(row);
        }
    }
    let mut events = reader.asked(&ours, &listed);
    events.extend(reader.answers(&ours, &listed, counts));
    // an answer at the very moment of a question comes after it: the sort is stable
    events.sort_by_key(|event| event.moment);
    (events, listed)
}

/// What is known of an end by its number in the batch.
#[derive(Clone, Copy, Default)]
struct Server {
    address: Address,
    listed_inside: bool,
    listed_outside: bool,
    private: bool,
    public: bool,
}

/// The CNAMEs of a message: owner and target.
type Links<'a> = Vec<(&'a str, &'a str)>;
/// Names that CNAMEs lead to, each with the chain back to the question.
type Reached = Vec<(Box<str>, Chain)>;

struct Reader<'r, 'a> {
    rows: &'r DnsRows<'a>,
    resolvers: &'r Resolvers,
    servers: Vec<Option<Server>>,
    private_clients: Vec<Option<bool>>,
    questions: Vec<Option<Chain>>,
    followed: Map<(u32, Links<'a>), Arc<Reached>>,
}

impl<'r, 'a> Reader<'r, 'a> {
    fn new(rows: &'r DnsRows<'a>, resolvers: &'r Resolvers) -> Reader<'r, 'a> {
        let (servers, private_clients, questions) = (Vec::new(), Vec::new(), Vec::new());
        Reader { rows, resolvers, servers, private_clients, questions, followed: Map::default() }
    }

    fn server(&mut self, row: usize) -> Server {
        let (rows, resolvers) = (self.rows, self.resolvers);
        *at(&mut self.servers, rows.resolver_id[row]).get_or_insert_with(|| {
            let address = rows.resolver(row);
            Server {
                address,
                listed_inside: resolvers.is_listed(&address, true),
                listed_outside: resolvers.is_listed(&address, false),
                private: resolvers.is_private(&address),
                public: resolvers.is_public(&address),
            }
        })
    }

    fn is_private_client(&mut self, row: usize) -> bool {
        let (rows, resolvers) = (self.rows, self.resolvers);
        let client = at(&mut self.private_clients, rows.client_id[row]);
        *client.get_or_insert_with(|| resolvers.is_private(&rows.client(row)))
    }

    /// Who asked whom; that he asked again says nothing new.
    fn asked(&mut self, ours: &[usize], listed: &[bool]) -> Vec<Event> {
        let mut firsts: Map<u64, (i64, usize)> = Map::default();
        for row in ours.iter().copied().filter(|row| self.rows.question.is(*row) && listed[*row]) {
            let first = (self.rows.moment(row), row);
            let ends = u64::from(self.rows.client_id[row]) << 32 | u64::from(self.rows.resolver_id[row]);
            let known = firsts.entry(ends).or_insert(first);
            *known = (*known).min(first);
        }
        let ends = firsts.into_values();
        let mut all: Vec<(i64, Address, Address)> =
            ends.map(|(moment, row)| (moment, self.rows.client(row), self.server(row).address)).collect();
        // the order of those at the same moment is that of their addresses, whatever the numbers are
        all.sort_unstable();
        let others = all.into_iter().filter(|(_, client, resolver)| client != resolver);
        others.map(|(moment, client, resolver)| Event { moment, client, what: What::Asked(resolver) }).collect()
    }

    /// Who was told what: first the answers about the very name asked for, then those that CNAMEs lead to.
    fn answers(&mut self, ours: &[usize], listed: &[bool], counts: &mut Counts) -> Vec<Event> {
        let rows = self.rows;
        let is_told = |row: &usize| {
            rows.answer_section.is(*row)
                && !rows.question.is(*row)
                && rows.is_success(*row)
                && matches!(rows.record_type[*row], A | CNAME | AAAA)
        };
        let told: Vec<usize> = ours.iter().copied().filter(is_told).collect();
        let matched: Vec<usize> = told.iter().copied().filter(|row| is_true(rows, *row)).collect();
        counts.unmatched += (told.len() - matched.len()) as u64;
        let (mut plain, mut linked) = (Vec::with_capacity(matched.len()), Vec::new());
        for message in matched.chunk_by(|one, other| rows.is_same_message(*one, *other)) {
            // a message may have a thousand records: its CNAMEs are read once
            let mut reached: Option<Arc<Reached>> = None;
            for row in message.iter().copied().filter(|row| rows.is_asked(*row)) {
                let Some(address) = rows.address(row) else { continue };
                let direct = listed[row];
                if !direct && !self.may_serve(&rows.client(row)) {
                    counts.unlisted += 1;
                    continue;
                }
                let (chain, to) = if is_plain(rows, row) {
                    (Some(self.question(row)), &mut plain)
                } else if direct || self.server(row).public {
                    let reached = reached.get_or_insert_with(|| self.reached(message, row));
                    (chain_of(reached, rows.owner(row)), &mut linked)
                } else {
                    // A server that is not listed speaks for the name that it was asked for and for no other: else
                    // whoever runs one name could put any other name on an address of his.
                    (None, &mut linked)
                };
                let Some(chain) = chain else {
                    *(if direct { &mut counts.unlinked } else { &mut counts.unlisted }) += 1;
                    continue;
                };
                let what = What::Told { address, ttl: rows.ttl(row), chain, direct };
                to.push(Event { moment: rows.moment(row), client: rows.client(row), what });
            }
        }
        plain.append(&mut linked);
        plain
    }

    /// Whether a client may be a resolver that others ask; see `PassiveDns::learn`.
    fn may_serve(&self, client: &Address) -> bool {
        self.resolvers.configured().is_empty() || self.resolvers.configured().contains(client)
    }

    /// The chain of the very name asked for.
    fn question(&mut self, row: usize) -> Chain {
        let rows = self.rows;
        let chain = at(&mut self.questions, rows.question_id[row]);
        Arc::clone(chain.get_or_insert_with(|| Arc::new([rows.asked(row).into()])))
    }

    /// What the CNAMEs of a message lead to.
    fn reached(&mut self, message: &[usize], row: usize) -> Arc<Reached> {
        let rows = self.rows;
        let aliases = message.iter().filter(|row| rows.record_type[**row] == CNAME);
        let links = aliases.map(|row| (rows.owner(*row), rows.value(*row))).collect();
        let reached = self.followed.entry((rows.question_id[row], links));
        let reached = reached.or_insert_with_key(|(_, links)| Arc::new(follow(rows.asked(row), links)));
        Arc::clone(reached)
    }
}

/// What is known of a dense number.
fn at<T>(known: &mut Vec<Option<T>>, number: u32) -> &mut Option<T> {
    let place = number as usize;
    if place >= known.len() {
        known.resize_with(place + 1, || None);
    }
    &mut known[place]
}

fn chain_of(reached: &Reached, owner: &str) -> Option<Chain> {
    reached.iter().find(|(name, _)| name.eq_ignore_ascii_case(owner)).map(|(_, chain)| Arc::clone(chain))
}

fn is_true(rows: &DnsRows<'_>, row: usize) -> bool {
    rows.matched.is_valid(row) && rows.matched.value(row)
}

/// Whether a record belongs to the very name asked for.
fn is_plain(rows: &DnsRows<'_>, row: usize) -> bool {
    rows.owner(row).eq_ignore_ascii_case(rows.asked(row))
}

/// Follow the CNAMEs of one message from the question (RFC 1034 section 3.6.2): for each name reached, the
/// names from it back to the question.
fn follow(question: &str, links: &[(&str, &str)]) -> Reached {
    let mut names: Vec<Box<str>> = vec![question.into()];
    let mut reached: Reached = vec![(question.into(), Arc::new([question.into()]))];
    while names.len() < LONGEST_CHAIN {
        let Some(name) = names.first() else { break };
        let Some((_, target)) = links.iter().find(|(owner, _)| owner.eq_ignore_ascii_case(name)) else { break };
        let target: Box<str> = target.to_ascii_lowercase().into();
        if target.is_empty() || reached.iter().any(|(name, _)| *name == target) {
            break;
        }
        names.insert(0, target.clone());
        reached.push((target, names.as_slice().into()));
    }
    reached
}
