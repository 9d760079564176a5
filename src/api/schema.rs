//! What a request body must look like, as data: each noun states its shape, this file checks it.
//!
//! The words follow what BOS's clients know from its validator: what is wrong, then where.

use serde_json::{Map, Value};

use super::error::ApiError;
use crate::model::{Timestamp, session::Name};

/// The shape of a value.
#[derive(Debug)]
pub enum Shape {
    /// A string of so many characters.
    Text {
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
    },
    /// BOS's NAME.
    Name,
    /// BOS's NAME, or nothing.
    NameOrEmpty,
    /// A whole number, written as one.
    Integer {
        /// Least.
        min: i64,
        /// Most.
        max: i64,
    },
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A moment, as RFC 3339 writes it.
    Moment,
    /// Any number.
    Number,
    /// Anything at all.
    Any,
    /// A string with a grammar of its own.
    Grammar {
        /// Most characters.
        max: usize,
        /// Whether a string is one of its words.
        holds: fn(&str) -> bool,
        /// The same as a regular expression, for the document: what it takes must hold.
        pattern: &'static str,
        /// What it is, as in `'x' is not <this>`.
        what: &'static str,
    },
    /// Fields by name; others are refused.
    Object(&'static [Field]),
    /// The same with fields from two lists.
    Both(&'static [Field], &'static [Field]),
    /// Fields by name; others are taken as they are.
    Open(&'static [Field]),
    /// The same as [`Self::Object`] with fields from several lists, and at least one of them given.
    NonEmptyObject(&'static [&'static [Field]]),
    /// Any keys, all with one shape of value.
    Map {
        /// Most keys; there is at least one.
        max: usize,
        /// What the keys must be.
        key: &'static Shape,
        /// What the values must be.
        value: &'static Shape,
    },
    /// Any keys, or none, all with one shape of value.
    Table(&'static Shape),
    /// Items of one shape.
    List {
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
        /// What the items must be.
        item: &'static Shape,
    },
    /// So many items of one shape as there are.
    Many(&'static Shape),
    /// Any of these.
    AnyOf(&'static [&'static Shape]),
    /// That, under a name of its own in the document.
    Named(&'static str, &'static Shape),
    /// That, or `null`.
    Nullable(&'static Shape),
    /// Shown, never taken.
    ReadOnly,
}

/// A field of an object.
#[derive(Debug)]
pub struct Field {
    /// Its key.
    pub name: &'static str,
    /// What it must be.
    pub shape: &'static Shape,
    /// Whether it must be there.
    pub required: bool,
}

/// A field that may be left out.
pub const fn optional(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, shape, required: false }
}

/// A field that must be there.
pub const fn required(name: &'static str, shape: &'static Shape) -> Field {
    Field { name, shape, required: true }
}

/// Up to so many characters, or none.
pub const fn text(max: usize) -> Shape {
    Shape::Text { min: 0, max }
}

/// At least one character.
pub const fn some_text(max: usize) -> Shape {
    Shape::Text { min: 1, max }
}

/// Checks a body.
///
/// # Errors
/// 400 that says what is wrong and where.
pub fn check(shape: &Shape, value: &Value) -> Result<(), ApiError> {
    find(shape, value, &mut Vec::new()).map_err(|(what, place)| {
        let place = if place.is_empty() { String::new() } else { format!(" - '{}'", place.join(".")) };
        ApiError::bad_request(format!("{what}{place}"))
    })
}

type Mistake = (String, Vec<String>);

fn find(shape: &Shape, value: &Value, place: &mut Vec<String>) -> Result<(), Mistake> {
    let here = place.clone();
    let wrong = |what: String| Err((what, here.clone()));
    let not_of = |kind: &str| Err((format!("{} is not of type '{kind}'", brief(value)), here.clone()));
    match shape {
        Shape::Nullable(_) if value.is_null() => Ok(()),
        Shape::Nullable(inner) => find(inner, value, place),
        Shape::ReadOnly => wrong("Property is read-only".to_owned()),
        Shape::Boolean => {
            if value.is_boolean() {
                Ok(())
            } else {
                not_of("boolean")
            }
        }
        Shape::Integer { min, max } => match value.as_i64() {
            Some(number) if (*min..=*max).contains(&number) => Ok(()),
            Some(number) => wrong(format!("{number} is not between {min} and {max}")),
            None => not_of("integer"),
        },
        Shape::Any => Ok(()),
        Shape::Number if value.is_number() => Ok(()),
        Shape::Number => not_of("number"),
        Shape::Named(_, inner) => find(inner, value, place),
        Shape::AnyOf(shapes) => {
            let mut mistakes = shapes.iter().map(|shape| find(shape, value, &mut place.clone()));
            // Of several ways to be wrong the first is told.
            match mistakes.next() {
                Some(Err(first)) if mistakes.all(|mistake| mistake.is_err()) => Err(first),
                _ => Ok(()),
            }
        }
        Shape::Text { .. }
        | Shape::Name
        | Shape::NameOrEmpty
        | Shape::Word(_)
        | Shape::Moment
        | Shape::Grammar { .. } => match value.as_str() {
            Some(text) => check_text(shape, text).map_err(|what| (what, place.clone())),
            None => not_of("string"),
        },
        Shape::Object(fields) => find_in_fields(&[fields], false, value, place),
        Shape::Both(some, others) => find_in_fields(&[some, others], false, value, place),
        Shape::Open(fields) => find_in_fields(&[fields], true, value, place),
        Shape::NonEmptyObject(_) if value.as_object().is_some_and(Map::is_empty) => {
            wrong("{} does not have enough properties".to_owned())
        }
        Shape::NonEmptyObject(lists) => find_in_fields(lists, false, value, place),
        Shape::Map { max, key, value: item_shape } => {
            let Some(object) = value.as_object() else { return not_of("object") };
            if object.is_empty() || object.len() > *max {
                return wrong(format!("{} properties are not between 1 and {max}", object.len()));
            }
            for (name, item) in object {
                within(place, name, |place| {
                    check_text(key, name).map_err(|what| (what, place.clone()))?;
                    find(item_shape, item, place)
                })?;
            }
            Ok(())
        }
        Shape::Table(item_shape) => {
            let Some(object) = value.as_object() else { return not_of("object") };
            for (name, item) in object {
                within(place, name, |place| find(item_shape, item, place))?;
            }
            Ok(())
        }
        Shape::Many(item) => find(&Shape::List { min: 0, max: usize::MAX, item }, value, place),
        Shape::List { min, max, item } => {
            let Some(items) = value.as_array() else { return not_of("array") };
            if items.len() < *min || items.len() > *max {
                return wrong(format!("{} items are not between {min} and {max}", items.len()));
            }
            for (index, entry) in items.iter().enumerate() {
                within(place, &index.to_string(), |place| find(item, entry, place))?;
            }
            Ok(())
        }
    }
}

fn find_in_fields(
    lists: &[&[Field]],
    open: bool,
    value: &Value,
    place: &mut Vec<String>,
) -> Result<(), Mistake> {
    let here = place.clone();
    let wrong = |what: String| Err((what, here.clone()));
    let Some(object) = value.as_object() else {
        return wrong(format!("{} is not of type 'object'", brief(value)));
    };
    let fields = lists.iter().copied().flatten();
    if let Some(field) = fields.clone().find(|field| field.required && !object.contains_key(field.name)) {
        return wrong(format!("'{}' is a required property", field.name));
    }
    for (key, item) in object {
        let Some(field) = fields.clone().find(|field| field.name == key) else {
            if open {
                continue;
            }
            return wrong(format!("Additional properties are not allowed ('{}' was unexpected)", cut(key)));
        };
        within(place, key, |place| find(field.shape, item, place))?;
    }
    Ok(())
}

fn within(
    place: &mut Vec<String>,
    key: &str,
    look: impl FnOnce(&mut Vec<String>) -> Result<(), Mistake>,
) -> Result<(), Mistake> {
    place.push(cut(key));
    look(place)?;
    place.pop();
    Ok(())
}

/// Checks a single string, such as a path parameter.
///
/// # Errors
/// What is wrong with it.
pub fn check_text(shape: &Shape, text: &str) -> Result<(), String> {
    match shape {
        Shape::Text { min, max } => {
            // Counting stops as soon as the answer is known.
            let count = text.chars().take(max + 1).count();
            if count > *max {
                Err(format!("'{}' is too long: at most {max} characters", cut(text)))
            } else if count < *min {
                Err(format!("'{text}' is too short: at least {min} character"))
            } else {
                Ok(())
            }
        }
        Shape::NameOrEmpty if text.is_empty() => Ok(()),
        Shape::Name | Shape::NameOrEmpty => {
            text.parse::<Name>().map(drop).map_err(|error| cut_sentence(&error.to_string()))
        }
        Shape::Word(words) if words.contains(&text) => Ok(()),
        Shape::Word(words) => Err(format!("'{}' is not one of {words:?}", cut(text))),
        Shape::Moment if text.parse::<Timestamp>().is_ok() => Ok(()),
        Shape::Moment => Err(format!("'{}' is no moment, as in 2026-01-31T12:00:00Z", cut(text))),
        Shape::Grammar { max, holds, .. } if text.chars().take(max + 1).count() <= *max && holds(text) => {
            Ok(())
        }
        Shape::Grammar { what, .. } => Err(format!("'{}' is not {what}", cut(text))),
        _ => Ok(()),
    }
}

fn brief(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::String(text) => format!("'{}'", cut(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}

/// Whatever was sent, the answer stays readable.
fn cut(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

fn cut_sentence(text: &str) -> String {
    let mut short: String = text.chars().take(400).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const SHAPE: Shape = Shape::Object(&[
        required("name", &Shape::Name),
        optional("count", &Shape::Integer { min: 0, max: 10 }),
        optional("sets", &Shape::Map { max: 2, key: &Shape::Name, value: &Shape::Boolean }),
        optional("words", &Shape::List { min: 1, max: 2, item: &Shape::Word(&["a", "b"]) }),
        optional("updated", &Shape::ReadOnly),
        optional("note", &Shape::Nullable(&some_text(3))),
    ]);

    fn mistake(value: serde_json::Value) -> String {
        check(&SHAPE, &value).expect_err("the body is wrong").to_string()
    }

    #[test]
    fn a_right_body_passes() {
        let body = json!({"name": "n", "count": 10, "sets": {"x": true}, "words": ["a"], "note": null});
        assert!(check(&SHAPE, &body).is_ok());
    }

    #[test]
    fn a_mistake_has_a_place() {
        assert_eq!(mistake(json!([])), "a list is not of type 'object'");
        assert_eq!(mistake(json!({})), "'name' is a required property");
        assert_eq!(
            mistake(json!({"name": "n", "x": 1})),
            "Additional properties are not allowed ('x' was unexpected)"
        );
        assert_eq!(mistake(json!({"name": "n", "sets": {"x": 1}})), "1 is not of type 'boolean' - 'sets.x'");
        assert_eq!(
            mistake(json!({"name": "n", "words": ["a", "c"]})),
            "'c' is not one of [\"a\", \"b\"] - 'words.1'"
        );
        assert_eq!(mistake(json!({"name": "n", "updated": "now"})), "Property is read-only - 'updated'");
        assert_eq!(
            mistake(json!({"name": "n", "note": "long"})),
            "'long' is too long: at most 3 characters - 'note'"
        );
        assert!(mistake(json!({"name": "-n"})).ends_with(" - 'name'"));
        assert!(mistake(json!({"name": "n", "sets": {"-": true}})).ends_with(" - 'sets.-'"));
    }

    #[test]
    fn a_number_is_written_as_one() {
        assert_eq!(mistake(json!({"name": "n", "count": 15.0})), "15.0 is not of type 'integer' - 'count'");
        assert_eq!(mistake(json!({"name": "n", "count": "1"})), "'1' is not of type 'integer' - 'count'");
        assert_eq!(mistake(json!({"name": "n", "count": true})), "true is not of type 'integer' - 'count'");
        assert_eq!(mistake(json!({"name": "n", "count": 11})), "11 is not between 0 and 10 - 'count'");
    }
}
