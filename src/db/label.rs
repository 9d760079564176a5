//! Stored labels back into the model's enums.

use serde::{
    Deserialize,
    de::{
        DeserializeOwned,
        value::{Error, StrDeserializer},
    },
};

use super::DbError;

/// The value whose label this is.
pub(super) fn read<T: for<'de> Deserialize<'de>>(what: &'static str, label: &str) -> Result<T, DbError> {
    T::deserialize(StrDeserializer::<Error>::new(label))
        .map_err(|_| DbError::Unknown { what, value: label.to_owned() })
}

/// The value that this document describes.
pub(super) fn read_json<T: DeserializeOwned>(
    what: &'static str,
    document: serde_json::Value,
) -> Result<T, DbError> {
    serde_json::from_value(document).map_err(|error| DbError::Unknown {
        what,
        value: format!("a document that cannot be read ({error})"),
    })
}
