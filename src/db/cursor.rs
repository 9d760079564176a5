//! Where a page of lines ends, and the next begins. Lines are numbered by the checkpoint that wrote them, its part, and
//! the component; so a page stays the same whatever is written behind it.

/// A line: everything after it is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cursor {
    /// The first event of the line's checkpoint; 0: admission.
    pub seq: i64,
    /// The row of the checkpoint.
    pub part: i32,
    /// The component's number.
    pub component: i32,
}

/// Some lines, and where the next page begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The lines.
    pub lines: Vec<T>,
    /// The last of them, where there are more.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Of lines of which one more was asked for than fits.
    pub(super) fn of(lines: impl Iterator<Item = (Cursor, T)>, limit: i64) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let mut last = None;
        let mut page = Vec::new();
        for (cursor, line) in lines {
            if page.len() == limit {
                return Self { lines: page, next: last };
            }
            page.push(line);
            last = Some(cursor);
        }
        Self { lines: page, next: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_page_says_where_the_next_begins() {
        let lines = |count: i32| (1..=count).map(|n| (Cursor { seq: 1, part: 0, component: n }, n));
        assert_eq!(Page::of(lines(2), 2), Page { lines: vec![1, 2], next: None });
        let more = Page::of(lines(3), 2);
        assert_eq!((more.lines, more.next.map(|next| next.component)), (vec![1, 2], Some(2)));
        assert_eq!(Page::of(lines(0), 2).next, None);
    }
}
