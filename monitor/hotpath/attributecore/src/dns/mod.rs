//! Which name each flow goes to, as DNS told its client: what answers count, for whom, and until when.
//!
//! One call a batch (`Memory::see`). Flows and DNS of a batch are taken in order of time, not of arrival: tick
//! by tick, and in a tick by the time of the packet. So the result does not depend on where batches are cut.

mod answers;
mod asked;
mod events;
mod flows;
mod habit;
mod memory;
mod passive;
mod resolvers;
mod rows;

pub use asked::AskedNames;
pub use habit::{Habit, NameHabits};
pub use memory::{Bounds, Counts, Memory, Seen};
pub use passive::{weight, Chain, Found, PassiveDns, Run, Told};
pub use resolvers::Resolvers;

use crate::columns::{Address, Unreadable};

/// In nanoseconds.
pub const SECOND: i64 = 1_000_000_000;
/// In nanoseconds; ticks are in milliseconds.
const MILLISECOND: i64 = 1_000_000;
