//! On. A PCS transition per call; see `power` for how it is read.

use super::power;
use crate::{
    clients::Services,
    model::{
        Timestamp,
        plan::Ordinal,
        verb::{Answer, Call, CallError, Power, Seen, Sight, Verb},
    },
};

/// Begins the transition of the rung.
pub(super) async fn act(verb: &Verb, at: &Services, call: &Call<'_>) -> Result<Answer, CallError> {
    power::act(verb, at, call).await
}

/// Looks for the transition of a lost call.
pub(super) async fn find(
    verb: &Verb,
    at: &Services,
    call: &Call<'_>,
    intended_at: Timestamp,
) -> Result<Option<Answer>, CallError> {
    power::find(verb, at, call, intended_at).await
}

/// Who is on.
pub(super) async fn observe(
    verb: &Verb,
    at: &Services,
    sight: &Sight<'_>,
) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    power::observe(verb, Power::On, at, sight).await
}
