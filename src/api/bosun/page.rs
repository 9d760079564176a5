//! Pages of long lists: the query's `after` is the `next` of the page before.

use serde_json::{Value, json};

use crate::{
    api::{
        ApiError,
        endpoint::{Parameter, parameter},
        query::Query,
        schema::Shape,
    },
    db::cursor::Cursor,
};

/// Most lines of one page.
pub const LINES_MAX: i64 = 1_000;

const CURSOR: Shape = Shape::Grammar {
    max: 43,
    holds: |text| read(text).is_some(),
    pattern: "^[0-9]{1,18}-[0-9]{1,9}-[0-9]{1,9}$",
    what: "the 'next' of a page",
};
/// Where the next page begins.
pub const NEXT: Shape = Shape::Nullable(&CURSOR);
/// How many.
pub const SIZE: Shape = Shape::Integer { min: 1, max: LINES_MAX };

/// What every page may be asked with.
pub const PARAMETERS: &[Parameter] = &[
    parameter("after", &CURSOR, "The 'next' of the page before"),
    parameter("page_size", &SIZE, "At most so many"),
];

/// Which page is wanted, and how long.
///
/// # Errors
/// 400 when that cannot be read.
pub fn wanted(query: &Query) -> Result<(Cursor, i64), ApiError> {
    let after = query.checked("after", &CURSOR)?.and_then(read).unwrap_or_default();
    Ok((after, query.number("page_size", 1, LINES_MAX)?.unwrap_or(LINES_MAX)))
}

/// Where the next page begins; null where there is none.
pub fn next(cursor: Option<Cursor>) -> Value {
    json!(cursor.map(|cursor| format!("{}-{}-{}", cursor.seq, cursor.part, cursor.component)))
}

fn read(text: &str) -> Option<Cursor> {
    let number = |text: &str| text.parse().ok().filter(|_| text.bytes().all(|digit| digit.is_ascii_digit()));
    let mut parts = text.split('-');
    let seq = parts.next().filter(|text| text.bytes().all(|digit| digit.is_ascii_digit()))?.parse().ok()?;
    let (part, component) = (number(parts.next()?)?, number(parts.next()?)?);
    parts.next().is_none().then_some(Cursor { seq, part, component })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let cursor = Cursor { seq: 12, part: 3, component: 100_000 };
        assert_eq!(next(Some(cursor)), "12-3-100000");
        assert_eq!((read("12-3-100000"), next(None)), (Some(cursor), Value::Null));
        for wrong in ["", "1", "1-2", "1-2-3-4", "-1-2-3", "1-2-+3", "1-2-99999999999", "a-b-c"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }
}
