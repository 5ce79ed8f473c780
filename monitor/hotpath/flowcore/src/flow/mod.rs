//! From decoded packets to flow records: key, sides, table, expiry, content, record.

mod asked;
mod budget;
mod content;
mod datagrams;
mod dns_stream;
mod expiry;
mod family;
mod fragments;
mod gather;
mod hot;
mod initiators;
mod inspect;
mod key;
mod naming;
mod numbering;
mod pieces;
mod questions;
mod record;
mod rows;
mod segments;
mod shared;
mod sides;
mod slot;
mod spare;
mod table;
mod tables;
mod texts;
mod update;

pub use fragments::FRAGMENT_BYTES;
pub use hot::FLOW_BYTES;
pub use initiators::{Opened, MAX_INITIATORS};
pub use key::{Seed, SeededHasher};
pub use record::{Batch, DnsRows, NONE, NO_CODE};
pub use rows::FlowRows;
pub use shared::{Limits, INSPECTED_BYTES};
pub use sides::{Network, Sides};
pub use slot::{Confidence, Ending, Initiator, NameSource, Scope};
pub use spare::{Pool, Spare, SpareColumns};
pub(crate) use table::LOT;
pub use tables::{FlowTables, Place};
pub use texts::Texts;

pub use crate::decode::Application;
