//! Whether all ways to fire hold for a group at the end of a tick.

use crate::alert::Found;
use crate::baseline::Past;
use crate::group::Group;
use crate::spec::Rule;

/// What the ways found, where all hold.
///
/// The window of the group must have been brought to `tick` before.
pub fn holds(rule: &Rule, group: &Group, past: Option<&mut Past>, tick: i64) -> Option<Found> {
    if i128::from(group.total.value) <= i128::from(rule.line) {
        return None;
    }
    let mut found = Found::default();
    if let Some(way) = &rule.ratio {
        let (of, to) = (group.total.of, group.total.to);
        let (number, divisor) = way.above;
        if of < way.floor || u128::from(of) * u128::from(divisor) <= u128::from(to) * u128::from(number) {
            return None;
        }
        found.ratio = Some((of, to));
    }
    if let Some(way) = &rule.distinct {
        let count = group.distinct.as_ref().map_or(0, |values| values.len() as u64);
        if count <= way.above {
            return None;
        }
        found.distinct = Some(count);
    }
    if let Some(way) = &rule.periodic {
        let interval = group.starts.as_ref().and_then(|starts| starts.regular(tick, way))?;
        found.interval = Some(interval.unsigned_abs());
    }
    if let Some(way) = &rule.baseline {
        let usual = past?.line(tick, way)?;
        if group.total.value <= usual {
            return None;
        }
        found.usual = Some(usual);
    }
    Some(found)
}
