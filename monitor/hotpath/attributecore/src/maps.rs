//! Maps whose keys strangers choose: hashed with a key of this process, in a third of the time that the standard hash
//! takes.

use std::collections::{HashMap, HashSet};

use flowcore::flow::Seed;

pub(crate) type Map<K, V> = HashMap<K, V, Seed>;
pub(crate) type Set<K> = HashSet<K, Seed>;
