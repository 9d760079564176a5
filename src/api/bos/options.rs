//! `/v2/options`: BOS's run-time options. What was never set shows its default; an unknown one is taken, echoed once and
//! forgotten, so that tools written for other versions of BOS go on working.

use axum::extract::State;
use serde_json::{Map, Value, json};

use super::{answer, shape};
use crate::{
    api::{
        ApiError, ApiState,
        body::{Json, JsonBody},
        endpoint::Endpoint,
        schema,
    },
    db,
    model::{options::Options, role::Role},
};

/// Most options of one request, as BOS has it.
const OPTIONS_MAX: usize = 1_024;

/// What is below `/v2`.
pub fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::get("/options", show, "The options as they are").answer(200, &answer::OPTIONS),
        Endpoint::patch("/options", patch, "Change some options")
            .role(Role::Admin)
            .describe("An option that is not known is taken, shown once and forgotten.")
            .body(&shape::OPTIONS_PATCH)
            .answer(200, &answer::OPTIONS),
    ]
}

async fn show(State(state): State<ApiState>) -> Result<Json<Options>, ApiError> {
    Ok(Json::ok(state.options().await?))
}

async fn patch(State(state): State<ApiState>, body: JsonBody) -> Result<Json<Value>, ApiError> {
    let (known, unknown) = split(body.required()?)?;
    let mut conn = db::acquire(&state.pool).await?;
    let mut shown = json!(db::options::patch(&mut conn, &Value::Object(known)).await?);
    if let Value::Object(shown) = &mut shown {
        shown.extend(unknown);
    }
    Ok(Json::ok(shown))
}

type Fields = Map<String, Value>;

/// The options that we know, checked, and those that we do not.
fn split(body: Value) -> Result<(Fields, Fields), ApiError> {
    let Value::Object(body) = body else {
        return Err(ApiError::bad_request("the body is not of type 'object'"));
    };
    if body.is_empty() {
        return Err(ApiError::bad_request("{} does not have enough properties"));
    }
    if body.len() > OPTIONS_MAX {
        return Err(ApiError::bad_request(format!("{} options are more than {OPTIONS_MAX}", body.len())));
    }
    let defaults = json!(Options::default());
    let (known, unknown): (Map<_, _>, Map<_, _>) =
        body.into_iter().partition(|(key, _)| defaults.get(key.as_str()).is_some());
    let known = Value::Object(known);
    schema::check(&schema::Shape::Object(shape::OPTIONS), &known)?;
    match known {
        Value::Object(known) => Ok((known, unknown)),
        _ => Ok((Map::new(), unknown)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_option_has_a_shape_that_its_default_fits() {
        let (known, unknown) = split(json!(Options::default())).expect("the defaults are right");
        assert_eq!((known.len(), unknown.len()), (shape::OPTIONS.len(), 0));
    }

    #[test]
    fn unknown_options_are_set_aside() {
        let (known, unknown) = split(json!({"reject_nids": true, "x": [1]})).expect("both are taken");
        assert_eq!((json!(known), json!(unknown)), (json!({"reject_nids": true}), json!({"x": [1]})));
        assert!(split(json!({})).is_err() && split(json!([])).is_err());
        assert!(split(json!({"reject_nids": 1, "x": 1})).is_err());
    }
}
