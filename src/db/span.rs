//! Reading many components by number: a few one by one, many as the range that holds them.
//!
//! 100,000 look-ups in an index were measured at several times one walk along it. Statements take both ways in a `union all`,
//! of which one is always empty.

/// Up to here components are looked up one by one.
const LOOK_UP_MAX: usize = 2_000;

/// How to read these components (ascending).
pub(super) struct Span<'a> {
    ids: &'a [i32],
    /// The range to walk along; empty where `few` are looked up.
    pub lowest: i32,
    pub highest: i32,
    /// Those to look up.
    pub few: &'a [i32],
}

impl<'a> Span<'a> {
    pub(super) fn of(ids: &'a [i32]) -> Self {
        match ids {
            [lowest, .., highest] if ids.len() > LOOK_UP_MAX => {
                Self { ids, lowest: *lowest, highest: *highest, few: &[] }
            }
            few => Self { ids, lowest: 1, highest: 0, few },
        }
    }

    /// Leaves out who was in the range but not asked for; ascending.
    pub(super) fn keep<T>(&self, mut rows: Vec<T>, id: impl Fn(&T) -> i32) -> Vec<T> {
        rows.retain(|row| self.ids.binary_search(&id(row)).is_ok());
        rows.sort_unstable_by_key(id);
        rows
    }
}
