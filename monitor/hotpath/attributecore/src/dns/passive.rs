//! Passive DNS: which name a client asked for to get an address, as of any moment.
//!
//! A name counts from the moment of its answer until its TTL has run out, and for a day longer: programs
//! keep connections and addresses longer than they are told to. Nothing is ever resolved here.

use std::cmp::Reverse;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{Address, SECOND};
use crate::bounded::Bounded;
use crate::maps::Set;

const GRACE: i64 = 24 * 3600 * SECOND;
/// Within one run calls go back by a tick, which is a minute at most. What is later still is of an earlier run, whose
/// clock was ahead.
const AHEAD: i64 = 3600 * SECOND;
/// Seconds (RFC 8767 section 4).
const LONGEST_TTL: u32 = 7 * 24 * 3600;
/// A TTL with the highest bit set counts as 0 (RFC 2181 section 8).
const TTL_IS_ZERO_FROM: u32 = 1 << 31;
/// Names kept for one client and address.
const RUNS: usize = 3;
const RESOLVERS_OF_A_CLIENT: usize = 8;
/// Bytes that a name takes besides its text: where that lies, and what its allocation wastes.
const NAME: usize = 48;

/// The owner of the address record, then who has it as CNAME, ..., the question; shared by all it was told for.
pub type Chain = Arc<[Box<str>]>;

/// The same name for the same address, told once or again and again without a gap. Times in ns since 1970.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// Of the first answer.
    pub since: i64,
    /// Of the newest answer.
    pub last: i64,
    /// TTL and grace have run out.
    pub expires: i64,
    /// What was told.
    pub chain: Chain,
}

/// What DNS says about one flow.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// From the address to the question; a single name where there is no CNAME.
    pub chain: Chain,
    /// Told to a resolver that this client asks, not seen on its way to the client.
    pub shared: bool,
    /// Of the newest answer known that is not later than the flow, ns since 1970.
    pub time: i64,
}

/// Who was told what: a client, an address, and whether this counts only for the clients of `client`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// Who was told.
    pub client: Address,
    /// What the name leads to.
    pub address: Address,
    /// A resolver of ours was told by one that is not listed.
    pub shared_only: bool,
}

impl Hash for Told {
    /// Without the lengths of the addresses, which are all the same.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.client);
        state.write(&self.address);
        state.write_u8(u8::from(self.shared_only));
    }
}

/// Bounded memory of answers. The times of the calls must not go back by more than a tick.
pub struct PassiveDns {
    runs: Bounded<Told, Vec<Run>>,
    asked: Bounded<Address, Vec<Address>>,
    /// Resolvers that are asked.
    serving: Bounded<Address, ()>,
    /// Clients that have entries.
    told: Bounded<Address, ()>,
    /// Resolvers that every client may be asking unseen.
    everybody: Vec<Address>,
    /// All that stand in an entry, and some that stood in one.
    addresses: Set<Address>,
    /// Some resolver that clients ask was told something itself.
    is_shared: bool,
    /// The chain that was weighed last: a message may lead to hundreds of addresses by one.
    weighed: Option<Chain>,
}

impl PassiveDns {
    /// An empty memory of `entries` pairs of client and address with `text` bytes of names and the
    /// resolvers of `clients` at most. A client that was never seen asking anybody counts as one of `everybody`.
    pub fn new(entries: usize, text: usize, clients: usize, everybody: Vec<Address>) -> PassiveDns {
        PassiveDns {
            runs: Bounded::weighed(entries, text, |runs| weight_of_all(runs)),
            asked: Bounded::new(clients),
            serving: Bounded::new(clients),
            told: Bounded::new(clients),
            everybody,
            addresses: Set::default(),
            is_shared: false,
            weighed: None,
        }
    }

    /// Pairs of client and address that are known.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Pairs of client and address forgotten because of the bounds, since the start.
    pub fn evicted(&self) -> u64 {
        self.runs.evicted
    }

    /// Clients whose resolvers were forgotten because of the bound, since the start.
    pub fn clients_evicted(&self) -> u64 {
        self.asked.evicted + self.serving.evicted + self.told.evicted
    }

    /// Whether `find` can have an answer for an address, whoever the client is.
    pub fn was_told(&self, address: &Address) -> bool {
        self.addresses.contains(address)
    }

    /// Remember that this client was seen asking this listed resolver.
    pub fn ask(&mut self, client: Address, resolver: Address) {
        let known = self.asked.get(&client).map(Vec::as_slice).unwrap_or_default();
        if !known.contains(&resolver) && known.len() < RESOLVERS_OF_A_CLIENT {
            let with = known.iter().copied().chain([resolver]).collect();
            self.asked.put(client, with, 0);
        }
        if self.serving.get(&resolver).is_none() {
            self.serving.put(resolver, (), 0);
        }
        self.is_shared = self.is_shared || self.told.has(&resolver);
    }

    /// Remember that `client` was told at `time` (ns since 1970) that the chain leads to `address`, for `ttl`
    /// seconds. With `direct` a listed resolver said so. Otherwise it counts only for the clients of `client`, and
    /// only where that is a resolver itself; false where it counts for nobody.
    pub fn learn(
        &mut self,
        client: Address,
        address: Address,
        time: i64,
        ttl: u32,
        chain: &Chain,
        direct: bool,
    ) -> bool {
        if !direct && !self.everybody.contains(&client) && !self.serving.has(&client) {
            return false;
        }
        let key = Told { client, address, shared_only: !direct };
        let kept = if ttl >= TTL_IS_ZERO_FROM { 0 } else { ttl.min(LONGEST_TTL) };
        let expires = time.saturating_add(i64::from(kept) * SECOND + GRACE);
        let mut known = self.runs.get_mut(&key);
        if let Some(runs) = known.as_mut().filter(|runs| runs.iter().any(|run| run.last.saturating_sub(time) > AHEAD)) {
            // they would count as the newest for ever
            runs.retain(|run| run.last.saturating_sub(time) <= AHEAD);
        }
        let newest = known.as_mut().and_then(|runs| runs.first_mut());
        let is_again = |newest: &&mut Run| newest.since <= time && time <= newest.expires && newest.chain == *chain;
        if let Some(newest) = newest.filter(is_again) {
            newest.last = newest.last.max(time);
            newest.expires = newest.expires.max(expires);
            self.told.get(&client); // is used
            return true;
        }
        let mut all = vec![Run { since: time, last: time, expires, chain: Arc::clone(chain) }];
        if let Some(runs) = known {
            all.append(runs);
            all.sort_by_key(|run| Reverse((run.last, run.since)));
        }
        // those before it were weighed when they came
        let new = if self.is_weighed(chain) { 0 } else { weight(chain) };
        let left = all.split_off(all.len().min(RUNS));
        self.restore(key, all, new);
        let freed = left.iter().filter(|run| Arc::strong_count(&run.chain) == 1);
        self.runs.lighten(freed.map(|run| weight(&run.chain)).sum());
        true
    }

    /// Whether a chain is the one that was weighed last; from now on it is.
    fn is_weighed(&mut self, chain: &Chain) -> bool {
        let is_last = self.weighed.as_ref().is_some_and(|last| Arc::ptr_eq(last, chain));
        if !is_last {
            self.weighed = Some(Arc::clone(chain));
        }
        is_last
    }

    /// The newest answer that is not later than `started` (ns since 1970): what the client was told itself
    /// comes first, then what a resolver that it asks was told.
    pub fn find(&mut self, client: Address, address: Address, started: i64) -> Option<Found> {
        let found = |run: &Run, shared| Found { chain: Arc::clone(&run.chain), shared, time: run.last.min(started) };
        let own = self.runs.get(&Told { client, address, shared_only: false });
        if let Some(run) = own.and_then(|runs| newest(runs, started)) {
            return Some(found(run, false));
        }
        if !self.is_shared {
            return None;
        }
        let asked = self.asked.get(&client).cloned();
        let mut best: Option<Run> = None;
        for resolver in asked.as_deref().unwrap_or(&self.everybody) {
            if *resolver == client || !self.told.has(resolver) {
                continue;
            }
            for shared_only in [false, true] {
                let told = self.runs.get(&Told { client: *resolver, address, shared_only });
                let Some(run) = told.and_then(|runs| newest(runs, started)) else { continue };
                if best.as_ref().is_none_or(|best| run.last.min(started) > best.last.min(started)) {
                    best = Some(run.clone());
                }
            }
        }
        best.map(|run| found(&run, true))
    }

    /// All entries for saving, those unused for longest first.
    pub fn entries(&self) -> impl Iterator<Item = (&Told, &Vec<Run>)> {
        self.runs.iter()
    }

    /// Each client with the resolvers that it was seen asking, for saving.
    pub fn clients(&self) -> impl Iterator<Item = (&Address, &Vec<Address>)> {
        self.asked.iter()
    }

    /// Put back what `entries` gave; `weight` is that of its chains, less those that were weighed with another entry.
    pub fn restore(&mut self, key: Told, runs: Vec<Run>, weight: usize) {
        self.runs.put(key, runs, weight);
        self.addresses.insert(key.address);
        if self.addresses.len() > 2 * self.runs.bound() {
            self.addresses = self.runs.iter().map(|(key, _)| key.address).collect();
        }
        if self.told.get(&key.client).is_none() {
            self.told.put(key.client, (), 0);
            let serves = self.everybody.contains(&key.client) || self.serving.has(&key.client);
            self.is_shared = self.is_shared || serves;
        }
    }
}

/// Bytes that the names of a chain take.
pub fn weight(chain: &Chain) -> usize {
    chain.iter().map(|name| name.len() + NAME).sum()
}

fn weight_of_all(runs: &[Run]) -> usize {
    runs.iter().map(|run| weight(&run.chain)).sum()
}

/// The run whose newest answer not later than `started` is the newest of all.
fn newest(runs: &[Run], started: i64) -> Option<&Run> {
    let counts = |run: &&Run| run.since <= started && started <= run.expires;
    // of two that are as new the first; `max_by_key` would give the last
    runs.iter().rev().filter(counts).max_by_key(|run| run.last.min(started))
}
