//! A number for what is known of a row, so that a decision is made once for all rows that share it.

use arrow_array::types::UInt32Type;
use arrow_array::{Array, BooleanArray};

use crate::columns::{flags, numbers, Closed, Optional, Rows, Unreadable};
use crate::maps::Map;

/// What a decision is made from. The numbers are the caller's own, who keeps what they stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Case {
    /// What is known of the network that the bytes went to.
    pub network: u32,
    /// What DNS said, from 1; 0: nothing.
    pub answer: u32,
    /// Whose name was claimed, from 1; 0: nobody's that is known, and then it makes no difference how.
    pub name: u32,
    /// Where the name stood: a place among the words given to [`Cases::new`].
    pub source: u8,
    /// An encrypted ClientHello was offered.
    pub ech: bool,
    /// The remote is a gateway.
    pub gateway: bool,
}

impl Case {
    /// All of it in one number, which is hashed in one step.
    fn key(&self) -> u128 {
        let way = u32::from(self.source) << 2 | u32::from(self.ech) << 1 | u32::from(self.gateway);
        [self.network, self.answer, self.name, way].into_iter().fold(0, |key, part| key << 32 | u128::from(part))
    }
}

/// What is known of the things that a batch numbers, each by its number.
#[derive(Debug, Default)]
pub struct Known<'a> {
    /// By `remote_id`: the network.
    pub networks: &'a [u32],
    /// By `remote_id`: whether it is a gateway; empty where none is.
    pub gateways: &'a [bool],
    /// By `name_id`: whose name it is.
    pub names: &'a [u32],
    /// By `name_id`: the network of the address that a name is, which counts where a gateway was asked for it; empty
    /// where no name is an address.
    pub targets: &'a [Option<u32>],
    /// By the place of an answer ([`crate::dns::Seen::found`]): what it says. The first is of no answer.
    pub answers: &'a [u32],
}

/// All cases that were met, numbered from 0 in the order of their first rows.
pub struct Cases {
    sources: Vec<String>,
    numbers: Map<u128, u32>,
    /// By network, for the most rows: of them nothing is known but the network. From 1; 0: not met.
    plain: Vec<u32>,
    met: Vec<Case>,
}

impl Cases {
    /// None met yet; `sources` are the words of the column `name_source`, of which a missing one counts as the first.
    pub fn new(sources: Vec<String>) -> Cases {
        Cases { sources, numbers: Map::default(), plain: Vec::new(), met: Vec::new() }
    }

    /// Number the rows of a batch (`FLOW_SCHEMA`); a case that was met before keeps its number. `found` is
    /// [`crate::dns::Seen::found`].
    pub fn number(&mut self, flows: &Rows, found: &[u32], known: &Known<'_>) -> Result<Vec<u32>, Unreadable> {
        let rows = Deciding::new(flows, &self.sources)?;
        let mut all = Vec::with_capacity(found.len());
        // most rows have nothing but their network: its case by `remote_id`, once it is known
        let mut bare: Vec<Option<u32>> = vec![None; known.networks.len()];
        for (row, found) in found.iter().enumerate() {
            let is_bare = *found == 0 && rows.name_id.get(row).is_none();
            let of_remote =
                rows.remote_id.get(row).filter(|_| is_bare).and_then(|remote| bare.get_mut(*remote as usize));
            all.push(match of_remote {
                Some(Some(number)) => *number,
                Some(place) => *place.insert(self.number_of(rows.case(row, *found, known)?)),
                None => self.number_of(rows.case(row, *found, known)?),
            });
        }
        Ok(all)
    }

    /// All cases in the order of their numbers.
    pub fn met(&self) -> &[Case] {
        &self.met
    }

    fn number_of(&mut self, case: Case) -> u32 {
        if case.answer > 0 || case.name > 0 {
            return *self.numbers.entry(case.key()).or_insert_with(|| {
                self.met.push(case);
                self.met.len() as u32 - 1
            });
        }
        let network = case.network as usize;
        if network >= self.plain.len() {
            self.plain.resize(network + 1, 0);
        }
        match self.plain.get_mut(network) {
            Some(number @ 0) => {
                self.met.push(case);
                *number = self.met.len() as u32;
                *number - 1
            }
            Some(number) => *number - 1,
            None => 0,
        }
    }
}

/// The columns that decide.
struct Deciding<'a> {
    remote_id: &'a [u32],
    name_id: Optional<'a, UInt32Type>,
    source: Closed<'a>,
    ech: &'a BooleanArray,
}

impl<'a> Deciding<'a> {
    fn new(flows: &'a Rows, sources: &[String]) -> Result<Deciding<'a>, Unreadable> {
        Ok(Deciding {
            remote_id: numbers::<UInt32Type>(flows, "remote_id")?,
            name_id: Optional::new(flows, "name_id")?,
            source: Closed::new(flows, "name_source", sources)?,
            ech: flags(flows, "ech")?,
        })
    }

    fn case(&self, row: usize, found: u32, known: &Known<'_>) -> Result<Case, Unreadable> {
        let remote = *self.remote_id.get(row).ok_or(Unreadable("found"))? as usize;
        let network = *known.networks.get(remote).ok_or(Unreadable("remote_id"))?;
        let answer = *known.answers.get(found as usize).ok_or(Unreadable("found"))?;
        let gateway = known.gateways.get(remote).copied().unwrap_or_default();
        let mut case = Case { network, answer, name: 0, source: 0, ech: false, gateway: false };
        let Some(name) = self.name_id.get(row) else { return Ok(case) };
        let name = name as usize;
        if gateway {
            case.network = known.targets.get(name).copied().flatten().unwrap_or(network);
        }
        case.name = *known.names.get(name).ok_or(Unreadable("name_id"))?;
        if case.name > 0 {
            case.source = self.source.place(row).unwrap_or_default();
            case.ech = self.ech.is_valid(row) && self.ech.value(row);
            case.gateway = gateway;
        }
        Ok(case)
    }
}
