//! Clients whose names are usually answers of DNS, so that a name that nobody was seen asking for stands out.
//!
//! A program that sends a server name which it never looked up has the address from elsewhere: from its own
//! configuration, or from whoever told the malware where to go and what to call it.

use arrow_buffer::{BooleanBuffer, BooleanBufferBuilder};

use super::rows::FlowRows;
use super::Address;
use crate::bounded::Bounded;

/// Ticks are in milliseconds.
const DAY: i64 = 86_400_000;
/// Named connections before a client has a habit.
const ENOUGH: u64 = 20;

/// Named connections of one client on the last day that it had one, and on the day before that.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Habit {
    /// Days since 1970.
    pub day: i64,
    /// Named connections.
    pub named: u64,
    /// Of these, those that followed an answer.
    pub asked: u64,
    /// The day before.
    pub named_before: u64,
    /// The day before.
    pub asked_before: u64,
}

impl Habit {
    /// The habit as of another day: a later one, or one before where the clock of an earlier run was ahead.
    fn on(self, day: i64) -> Habit {
        if day == self.day {
            return self;
        }
        let (named_before, asked_before) = if day - 1 == self.day { (self.named, self.asked) } else { (0, 0) };
        Habit { day, named: 0, asked: 0, named_before, asked_before }
    }

    /// Whether this client's names usually, nine times of ten, are answers of DNS.
    fn is_usual(&self) -> bool {
        let named = self.named.saturating_add(self.named_before);
        named >= ENOUGH && 10 * u128::from(self.asked.saturating_add(self.asked_before)) >= 9 * u128::from(named)
    }
}

/// What a client did in one tick.
struct Group {
    tick: i64,
    /// Its first row.
    row: u32,
    client: Address,
    named: u64,
    known: u64,
    is_usual: bool,
}

/// Bounded memory of the habits. Give it all batches in their order; where they are cut changes nothing.
pub struct NameHabits {
    habits: Bounded<Address, Habit>,
}

impl NameHabits {
    /// An empty memory of `clients` at most.
    pub fn new(clients: usize) -> NameHabits {
        NameHabits { habits: Bounded::new(clients) }
    }

    /// Clients forgotten because of the bound, since the start.
    pub fn evicted(&self) -> u64 {
        self.habits.evicted
    }

    /// Which rows have a name that stands out, and learn from the batch: a row is judged by what its client did in
    /// the ticks before it, today and yesterday. `found` is 0 where no answer led to the remote address.
    pub(crate) fn unasked(&mut self, flows: &FlowRows<'_>, found: &[u32]) -> BooleanBuffer {
        let (mut groups, suspects) = groups(flows, found);
        for group in &mut groups {
            let day = group.tick.div_euclid(DAY);
            let habit = self.habits.get(&group.client).copied().unwrap_or_default().on(day);
            group.is_usual = habit.is_usual();
            if group.named > 0 {
                let named = habit.named.saturating_add(group.named);
                let asked = habit.asked.saturating_add(group.known);
                self.habits.put(group.client, Habit { named, asked, ..habit }, 0);
            }
        }
        let mut unasked = BooleanBufferBuilder::new(flows.rows);
        unasked.append_n(flows.rows, false);
        for (row, place) in suspects {
            unasked.set_bit(row as usize, groups[place as usize].is_usual);
        }
        unasked.finish()
    }

    /// All for saving, the longest unused first.
    pub fn items(&self) -> impl Iterator<Item = (&Address, &Habit)> {
        self.habits.iter()
    }

    /// Put back what `items` gave.
    pub fn restore(&mut self, client: Address, habit: Habit) {
        self.habits.put(client, habit, 0);
    }
}

/// The clients of each tick that sent a name to the outside, in the order of rows; and the rows whose name no answer
/// led to, each with the place of its group.
fn groups(flows: &FlowRows<'_>, found: &[u32]) -> (Vec<Group>, Vec<(u32, u32)>) {
    let (mut groups, mut suspects): (Vec<Group>, _) = (Vec::new(), Vec::new());
    // by the number of a client: its newest group, from 1; ticks come in their order
    let mut places: Vec<u32> = Vec::new();
    for row in flows.client_named.rows() {
        let Some(answer) = found.get(row) else { break };
        if !flows.egress.is(row) || flows.began_remote.is(row) {
            continue;
        }
        let (tick, client) = (flows.tick[row], flows.local_id[row] as usize);
        if client >= places.len() {
            // most numbers are one more than the largest
            places.resize(client + 1024, 0);
        }
        let newest = places[client].checked_sub(1).map(|place| &groups[place as usize]);
        if newest.is_none_or(|group| group.tick != tick) {
            let client_of_row = Address::default();
            groups.push(Group { tick, row: row as u32, client: client_of_row, named: 0, known: 0, is_usual: false });
            places[client] = groups.len() as u32;
        }
        let place = places[client] - 1;
        let group = &mut groups[place as usize];
        let is_first = flows.is_first(row);
        group.named += u64::from(is_first);
        if *answer > 0 {
            group.known += u64::from(is_first);
        } else {
            suspects.push((row as u32, place));
        }
    }
    // one after the other, so that the addresses are waited for together
    groups.iter_mut().for_each(|group| group.client = flows.local(group.row as usize));
    (groups, suspects)
}
