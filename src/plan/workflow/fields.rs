//! Takes a map of a workflow's text apart, field by field, and notes what is wrong with each.

use std::{cell::RefCell, time::Duration};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::super::Mistake;
use crate::model::spelling;

/// The mistakes found so far in one file.
pub struct Mistakes {
    file: String,
    found: RefCell<Vec<Mistake>>,
}

impl Mistakes {
    /// None so far.
    pub fn of(file: String) -> Self {
        Self { file, found: RefCell::default() }
    }

    /// One more.
    pub fn add(&self, place: Option<&str>, text: String) {
        let place = place.map(str::to_owned);
        self.found.borrow_mut().push(Mistake { file: self.file.clone(), place, text });
    }

    /// All of them.
    pub fn found(&self) -> Vec<Mistake> {
        self.found.take()
    }
}

/// A map whose fields are taken out one after the other; what is left in the end is unknown.
pub struct Fields<'a> {
    map: Map<String, Value>,
    place: Option<String>,
    known: Vec<&'static str>,
    mistakes: &'a Mistakes,
}

impl<'a> Fields<'a> {
    /// The fields of a value; none (and a mistake) if it is no map.
    pub fn of(value: Value, place: Option<String>, mistakes: &'a Mistakes) -> Self {
        let mut fields = Self { map: Map::new(), place, known: Vec::new(), mistakes };
        match value {
            Value::Object(map) => fields.map = map,
            Value::Null => {}
            other => fields.wrong(format!("expected fields ('name: value'), not {}", shown(&other))),
        }
        fields
    }

    /// Notes what is wrong with the map as a whole, or with one of its fields.
    pub fn wrong(&self, text: String) {
        self.mistakes.add(self.place.as_deref(), text);
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.map.remove(key).filter(|value| !value.is_null())
    }

    /// Reports the fields that nobody took. `also` are names that might have been meant.
    pub fn end(self, also: &[&'static str]) {
        let known = || self.known.iter().chain(also).copied();
        for key in self.map.keys().filter(|key| !also.contains(&key.as_str())) {
            let hint = spelling::hint(key, known());
            self.wrong(format!("there is no field '{key}'{hint}; there are {}", self.known.join(", ")));
        }
    }

    /// A field that has to be there; `what` says what it holds.
    pub fn required<T: DeserializeOwned>(&mut self, key: &'static str, what: &str) -> Option<T> {
        let Some(value) = self.take(key) else {
            self.wrong(format!("'{key}' is missing"));
            return None;
        };
        let text = shown(&value);
        let read = serde_json::from_value(value).ok();
        if read.is_none() {
            self.wrong(format!("{key}: {text} is not {what}"));
        }
        read
    }

    /// A field that may be missing; `what` says what it holds.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &'static str, what: &str) -> Option<T> {
        let value = self.take(key)?;
        let text = shown(&value);
        let read = serde_json::from_value(value).ok();
        if read.is_none() {
            self.wrong(format!("{key}: {text} is not {what}"));
        }
        read
    }

    /// A word of a closed list that may be missing.
    pub fn optional_word<T: DeserializeOwned>(&mut self, key: &'static str, what: &str) -> Option<T> {
        let value = self.take(key)?;
        self.word(key, what, value)
    }

    /// A list of texts; numbers, true and false stand for themselves.
    pub fn scalars(&mut self, key: &'static str) -> Vec<String> {
        let values = self.list(key);
        values.into_iter().filter_map(|value| self.scalar(key, value)).collect()
    }

    /// A map of texts whose names are anybody's; numbers, true and false stand for themselves.
    pub fn all_scalars(mut self) -> Vec<(String, String)> {
        let map = std::mem::take(&mut self.map);
        map.into_iter().filter_map(|(key, value)| Some((key.clone(), self.scalar(&key, value)?))).collect()
    }

    fn scalar(&self, key: &str, value: Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            other => {
                self.wrong(format!("{key}: {} is not a text", shown(&other)));
                None
            }
        }
    }

    /// A word of a closed list that has to be there.
    pub fn required_word<T: DeserializeOwned>(&mut self, key: &'static str, what: &str) -> Option<T> {
        match self.take(key) {
            Some(value) => self.word(key, what, value),
            None => {
                self.wrong(format!("'{key}' is missing"));
                None
            }
        }
    }

    /// A list of words of a closed list.
    pub fn words<T: DeserializeOwned>(&mut self, key: &'static str, what: &str) -> Vec<T> {
        self.list(key).into_iter().filter_map(|value| self.word(key, what, value)).collect()
    }

    fn word<T: DeserializeOwned>(&self, key: &str, what: &str, value: Value) -> Option<T> {
        let text = shown(&value);
        serde_json::from_value::<T>(value.clone())
            .map_err(|error| {
                // serde lists what exists: "unknown variant `x`, expected one of `a`, `b`".
                let words: Vec<String> = error.to_string().split('`').map(str::to_owned).collect();
                let known: Vec<&str> = words.iter().skip(3).step_by(2).map(String::as_str).collect();
                let hint = spelling::hint(value.as_str().unwrap_or_default(), known.iter().copied());
                self.wrong(format!("{key}: there is no {what} {text}{hint}; there are {}", known.join(", ")));
            })
            .ok()
    }

    /// A list; a single value counts as a list of one.
    pub fn list(&mut self, key: &'static str) -> Vec<Value> {
        match self.take(key) {
            None => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(value @ Value::String(_)) => vec![value],
            Some(other) => {
                self.wrong(format!("{key}: expected a list, not {}", shown(&other)));
                Vec::new()
            }
        }
    }

    /// A list of names.
    pub fn names(&mut self, key: &'static str) -> Vec<String> {
        self.list(key)
            .into_iter()
            .filter_map(|value| match value {
                Value::String(name) => Some(name),
                other => {
                    self.wrong(format!("{key}: {} is not a name", shown(&other)));
                    None
                }
            })
            .collect()
    }

    /// A map in the map.
    pub fn map(&mut self, key: &'static str) -> Option<Fields<'a>> {
        let value = self.take(key)?;
        let place = self.place.as_ref().map_or_else(|| key.to_owned(), |place| format!("{place}, {key}"));
        Some(Fields::of(value, Some(place), self.mistakes))
    }

    /// A number in the range of its type.
    pub fn number<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let value = self.take(key)?;
        let text = shown(&value);
        let read = serde_json::from_value(value).ok();
        if read.is_none() {
            self.wrong(format!("{key}: {text} is not a number from 1 to {}", u16::MAX));
        }
        read
    }

    /// A share of a hundred.
    pub fn percent(&mut self, key: &'static str) -> Option<u8> {
        let value = self.take(key)?;
        let read =
            value.as_u64().filter(|percent| *percent <= 100).and_then(|percent| percent.try_into().ok());
        if read.is_none() {
            self.wrong(format!("{key}: {} is not a number from 0 to 100", shown(&value)));
        }
        read
    }

    /// A duration as people write it.
    pub fn duration(&mut self, key: &'static str, may_be_zero: bool) -> Option<Duration> {
        let value = self.take(key)?;
        let text = shown(&value);
        let read = value.as_str().and_then(|text| humantime::parse_duration(text).ok());
        match read {
            None => self.wrong(format!("{key}: {text} is not a duration; write something like 90s or 5m")),
            Some(Duration::ZERO) if !may_be_zero => self.wrong(format!("{key}: it cannot be zero")),
            Some(_) => {}
        }
        read
    }
}

/// A value in a message.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => format!("'{text}'"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
        other => other.to_string(),
    }
}
