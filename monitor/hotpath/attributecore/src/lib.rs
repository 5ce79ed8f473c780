//! What attribution does once for each address or row.
//!
//! Addresses: walk the search tree of a MaxMind-format database ("MaxMind DB File Format Specification" 2.0). Only
//! the tree is walked here; what its records say is decoded by the libraries that the format's authors wrote, once
//! for each record. Rows: what DNS said about them, and which of them need but one decision.

#![deny(unsafe_code)]

pub mod bounded;
mod cases;
mod columns;
pub mod dns;
mod encrypted_dns;
mod maps;
mod section;
mod tree;

pub use cases::{Case, Cases, Known};
pub use columns::{Address, Rows, Unreadable};
pub use encrypted_dns::{OutOfSight, PublicResolvers};
pub use section::Fault;
pub use tree::AddressTree;
