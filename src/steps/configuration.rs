//! What `inspect` and `await_configuration` share: one look at many components in CFS.

use std::collections::HashMap;

use chrono::TimeDelta;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

use crate::{
    clients::{
        Services,
        cfs::{CfsComponent, IDS_MAX},
    },
    model::{
        Timestamp,
        verb::{CallError, Member},
    },
};

/// Chunks asked for at once.
const CHUNKS_AT_ONCE: usize = 8;

/// What CFS says of some members.
pub(super) struct Look<'m> {
    /// Everybody who was asked about with success, and what CFS has; none if CFS does not know the component.
    pub told: Vec<(&'m Member<'m>, Option<CfsComponent>)>,
    /// How far CFS' clock is ahead of Postgres'.
    pub ahead: TimeDelta,
    /// What went wrong with the others.
    pub trouble: Option<CallError>,
}

/// Asks CFS about these members, in chunks. A chunk that fails leaves its members out: one poisoned record in CFS
/// answers 500 for every list that contains it, and must not hide the others.
pub(super) async fn look<'m>(at: &Services, members: Vec<&'m Member<'m>>, now: Timestamp) -> Look<'m> {
    let asked = Instant::now();
    let ask = |chunk: &[&Member<'_>]| {
        let ids: Vec<String> = chunk.iter().map(|member| member.xname.to_string()).collect();
        async move { (at.cfs.components(&ids).await, now + asked.elapsed()) }
    };
    let asking: Vec<_> = members.chunks(IDS_MAX).map(ask).collect();
    let answers: Vec<_> = stream::iter(asking).buffered(CHUNKS_AT_ONCE).collect().await;
    let mut look = Look { told: Vec::with_capacity(members.len()), ahead: TimeDelta::zero(), trouble: None };
    for (chunk, (answer, our_time)) in members.chunks(IDS_MAX).zip(answers) {
        match answer {
            Err(error) => look.trouble = Some(error.into()),
            Ok(dated) => {
                if let Some(date) = dated.date {
                    look.ahead = date - our_time;
                }
                let mut known: HashMap<String, CfsComponent> =
                    dated.value.into_iter().map(|component| (component.id.clone(), component)).collect();
                look.told
                    .extend(chunk.iter().map(|member| (*member, known.remove(&member.xname.to_string()))));
            }
        }
    }
    look
}
