//! Query strings: read by name, with the words of BOS's validator when one is wrong. Unknown names are ignored; of a
//! repeated one the last counts.

use std::{collections::BTreeMap, convert::Infallible, str::FromStr};

use axum::{extract::FromRequestParts, http::request::Parts};

use super::{
    ApiError,
    schema::{self, Shape},
};

/// The parameters of a request.
#[derive(Debug, Clone, Default)]
pub struct Query(BTreeMap<String, String>);

impl<S: Sync> FromRequestParts<S> for Query {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()))
    }
}

impl Query {
    /// A parameter as it was given.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter of a shape.
    ///
    /// # Errors
    /// 400 when it has another.
    pub fn checked(&self, name: &str, shape: &Shape) -> Result<Option<&str>, ApiError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        schema::check_text(shape, text)
            .map_err(|what| ApiError::bad_request(format!("query parameter '{name}': {what}")))?;
        Ok(Some(text))
    }

    /// `true` or `false`.
    ///
    /// # Errors
    /// 400 when it is neither.
    pub fn boolean(&self, name: &str) -> Result<Option<bool>, ApiError> {
        match self.text(name) {
            None => Ok(None),
            Some("true" | "True") => Ok(Some(true)),
            Some("false" | "False") => Ok(Some(false)),
            Some(_) => Err(wrong_type("boolean", name)),
        }
    }

    /// A number within bounds.
    ///
    /// # Errors
    /// 400 when it is none, or out of bounds.
    pub fn number<T>(&self, name: &str, min: T, max: T) -> Result<Option<T>, ApiError>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.text(name) else { return Ok(None) };
        match text.parse() {
            Ok(number) if number >= min && number <= max => Ok(Some(number)),
            Ok(number) => Err(ApiError::bad_request(format!(
                "query parameter '{name}': {number} is not between {min} and {max}"
            ))),
            Err(_) => Err(wrong_type("integer", name)),
        }
    }
}

fn wrong_type(kind: &str, name: &str) -> ApiError {
    ApiError::bad_request(format!("Wrong type, expected '{kind}' for query parameter '{name}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_by_type() {
        let query = Query(
            [("enabled", "True"), ("page_size", "10"), ("max", "x"), ("wait", "yes")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        );
        assert_eq!(query.boolean("enabled").expect("a boolean"), Some(true));
        assert_eq!(query.number("page_size", 0, 20).expect("a number"), Some(10));
        assert_eq!(query.number("absent", 0, 20).expect("nothing"), None);
        assert!(query.number("page_size", 0, 5).is_err());
        assert_eq!(
            query.number("max", 0, 5).expect_err("no number").to_string(),
            "Wrong type, expected 'integer' for query parameter 'max'"
        );
        assert!(query.boolean("wait").is_err());
    }
}
