//! All that is remembered of DNS, and what it says about one batch.

use arrow_buffer::BooleanBuffer;

use super::answers;
use super::asked::AskedNames;
use super::events;
use super::flows::FlowMemory;
use super::habit::NameHabits;
use super::passive::{Chain, Found, PassiveDns};
use super::resolvers::Resolvers;
use super::rows::{DnsRows, FlowRows};
use super::Unreadable;
use crate::columns::Rows;
use crate::maps::Set;

/// DNS answers that did not count, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// No question was seen.
    pub unmatched: u64,
    /// Not from a resolver that is believed.
    pub unlisted: u64,
    /// A record that does not follow from the name asked for.
    pub unlinked: u64,
}

/// How much is remembered at most.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Pairs of client and address.
    pub entries: usize,
    /// Bytes of their names, and as many of the names that flows hold.
    pub text: usize,
    /// Clients whose resolvers are known.
    pub clients: usize,
    /// Flows with what DNS said about them.
    pub flows: usize,
    /// Names that clients asked lately.
    pub names: usize,
    /// Clients whose habits are known.
    pub habits: usize,
}

/// What DNS says about the rows of a batch.
pub struct Seen {
    /// Of flows: the place of the row's answer among `said`, from 1; 0: none.
    pub found: Vec<u32>,
    /// Of flows: the client's names usually are answers of DNS, and this one is not.
    pub unasked: BooleanBuffer,
    /// Of DNS rows: the resolver is one whose answers count.
    pub listed: Vec<bool>,
    /// Of DNS rows: in a question the bytes that its asker chose freely, else 0.
    pub question_bytes: Vec<u32>,
    /// Of DNS rows: the same, but 0 where this client asked the same name lately.
    pub fresh_question_bytes: Vec<u32>,
    /// What was told, and whether it was to a resolver that the client asks; each once.
    pub said: Vec<(Chain, bool)>,
}

/// Give it all batches in their order; where they are cut changes nothing as long as nothing is evicted.
pub struct Memory {
    resolvers: Resolvers,
    /// What clients were told.
    pub passive: PassiveDns,
    /// What clients asked.
    pub asked: AskedNames,
    /// Whose names are usually asked.
    pub habits: NameHabits,
    flows: FlowMemory,
    /// What did not count.
    pub counts: Counts,
}

impl Memory {
    /// An empty memory.
    pub fn new(resolvers: Resolvers, bounds: Bounds) -> Memory {
        let everybody = resolvers.configured().to_vec();
        Memory {
            resolvers,
            passive: PassiveDns::new(bounds.entries, bounds.text, bounds.clients, everybody),
            asked: AskedNames::new(bounds.names),
            habits: NameHabits::new(bounds.habits),
            flows: FlowMemory::new(bounds.flows, bounds.text),
            counts: Counts::default(),
        }
    }

    /// Take a batch: flows in tick order and DNS rows of the same ticks, the rows of a message together. `carried`
    /// gives for each `question_id` the bytes of the name that its asker chose freely.
    pub fn see(&mut self, flows: &Rows, dns: &Rows, carried: &[u32]) -> Result<Seen, Unreadable> {
        let (flows, dns) = (FlowRows::new(flows)?, DnsRows::new(dns)?);
        let (events, listed) = events::read(&dns, &self.resolvers, &mut self.counts);
        let answers = answers::fix(&flows, &events, &mut self.passive, &mut self.flows, &mut self.counts);
        let unasked = self.habits.unasked(&flows, &answers.found);
        let carried = |row: usize| carried.get(dns.question_id[row] as usize).copied().unwrap_or_default();
        let in_question = |row: usize| if dns.question.is(row) { carried(row) } else { 0 };
        let question_bytes: Vec<u32> = (0..dns.rows).map(in_question).collect();
        let fresh_question_bytes = self.fresh(&dns, &question_bytes);
        Ok(Seen { found: answers.found, unasked, listed, question_bytes, fresh_question_bytes, said: answers.said })
    }

    /// The answer that a flow's name comes from; `None` where there is none (any more).
    pub fn answer_of(&mut self, flow: u64) -> Option<Found> {
        self.flows.get(flow).flatten().cloned()
    }

    /// Flows whose answer was forgotten because of the bound, since the start.
    pub fn flows_evicted(&self) -> u64 {
        self.flows.evicted()
    }

    fn fresh(&mut self, dns: &DnsRows<'_>, carried: &[u32]) -> Vec<u32> {
        let mut fresh = vec![0; dns.rows];
        let mut places: Vec<usize> = (0..dns.rows).filter(|row| carried[*row] > 0).collect();
        places.sort_by_key(|row| dns.moment(*row));
        let mut seen = Set::default();
        places.retain(|row| seen.insert(u64::from(dns.client_id[*row]) << 32 | u64::from(dns.question_id[*row])));
        let asked: Vec<_> = places.iter().map(|row| (dns.client(*row), dns.asked(*row))).collect();
        for (row, _) in places.into_iter().zip(self.asked.are_fresh(&asked)).filter(|(_, is_fresh)| *is_fresh) {
            fresh[row] = carried[row];
        }
        fresh
    }
}
