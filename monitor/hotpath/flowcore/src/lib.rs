//! From frames to flow records: the first three stages of egress-monitor.
//!
//! A [`worker`] takes bursts of frames from a [`source`], has each [`decode`]d, and books it in a
//! [`flow`] table whose records are cut at ticks of event time. No Python in here.
//!
//! Direction: `decode` knows neither `source` nor `flow`; `flow` knows `decode`, and of `source` only the
//! hint to the processor, which is there because it is `unsafe`; `evidence` stands beside the line and knows
//! the first two; `worker` knows all.

#![deny(unsafe_code)]

mod closed_set;
pub mod counters;
pub mod dealer;
pub mod decode;
pub mod evidence;
pub mod flow;
mod line;
mod lot;
pub mod queue;
#[allow(unsafe_code)]
pub mod source;
pub mod worker;
