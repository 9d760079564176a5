//! `http`: a web service of the site's own is called, asked until a condition holds, or both.
//!
//! The call is a JSON object with `session`, `step` and `components`, under an `Idempotency-Key` that stays the same
//! however often the call has to be made: a call whose answer was lost is made once more to learn what became of it. A
//! service that heeds the key answers what it answered; one that does not is told the same twice, which has to be
//! harmless ("be drained"; never toggle).

use std::num::NonZeroU32;

use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::{
    done, learnt, rejected,
    site::{Verdict, judge, key, names},
};
use crate::{
    clients::{
        ClientError, Services,
        webhook::{Heard, Message},
    },
    model::{
        plan::Ordinal,
        reason::{Reason, ReasonCode},
        site::{HttpStep, Method, Per, Question},
        verb::{Answer, Call, CallError, Member, Seen, Shared, Sight, Took},
    },
    steps::words::clean,
};

/// Questions asked at once.
const QUESTIONS_AT_ONCE: usize = 4;

#[derive(Debug, Serialize)]
struct Body<'a> {
    session: &'a str,
    step: &'a str,
    components: Vec<String>,
}

/// Calls. What the service refuses is not tried again.
pub(super) async fn act(step: &HttpStep, at: &Services, call: &Call<'_>) -> Result<Answer, CallError> {
    let Some(request) = &step.call else {
        return Err(rejected("the step calls nothing".to_owned()));
    };
    let key = key(&call.shared, call.effect);
    let body = Body {
        session: call.shared.session,
        step: call.shared.step,
        components: names(call.members, &call.shared),
    };
    let message = Message {
        method: request.method,
        url: &request.url,
        token: step.token.as_ref(),
        key: Some(&key),
        body: &body,
    };
    let heard = at.webhook.call(message).await?;
    Ok(answer(step, call, &heard))
}

/// Makes the same call once more: its answer says what became of it.
pub(super) async fn find(
    step: &HttpStep,
    at: &Services,
    call: &Call<'_>,
) -> Result<Option<Answer>, CallError> {
    act(step, at, call).await.map(Some)
}

fn answer(step: &HttpStep, call: &Call<'_>, heard: &Heard) -> Answer {
    let whole = if heard.is_good() { Verdict::Good } else { Verdict::Bad(refusal(heard)) };
    let verdicts = judge(call.members, &call.shared, &whole, heard.document.as_ref());
    let taken = if step.wait.is_some() { Took::Underway } else { Took::Done };
    let named = call.members.iter().zip(verdicts).filter_map(|(member, verdict)| {
        let why = match verdict {
            Verdict::Good => return None,
            Verdict::Waits(_) if step.wait.is_some() => return None,
            Verdict::Waits(why) => format!("{why}, and the step has no 'wait' to look at it again"),
            Verdict::Bad(why) => why,
        };
        Some((member.ordinal, Took::Refused(Reason::new(ReasonCode::WebhookFailed, why))))
    });
    Answer { rest: taken, named: named.collect(), ..done() }
}

fn refusal(heard: &Heard) -> String {
    if heard.text.is_empty() { format!("status {}", heard.status) } else { clean(&heard.text) }
}

/// Asks whether the condition holds.
pub(super) async fn observe(
    step: &HttpStep,
    at: &Services,
    sight: &Sight<'_>,
) -> Result<Vec<(Ordinal, Seen)>, CallError> {
    let Some(question) = &step.wait else {
        // Its answer was everything there is; should it ever be looked for, it is said again.
        let reason = Reason::new(ReasonCode::WebhookFailed, "its answer was not kept");
        return Ok(sight.members.iter().map(|member| (member.ordinal, Seen::Busy(reason.clone()))).collect());
    };
    let most = match step.per {
        // Nobody is named in it: one answer is everybody's.
        _ if question.method == Method::Get => NonZeroU32::MAX,
        Per::Batch(most) => most,
        Per::Slice | Per::Session => NonZeroU32::MAX,
    };
    let asking: Vec<_> = sight
        .members
        .chunks(most.get() as usize)
        .map(|members| ask(step, question, at, members, &sight.shared))
        .collect();
    let answers: Vec<_> = stream::iter(asking).buffered(QUESTIONS_AT_ONCE).collect().await;
    let (mut seen, mut trouble) = (Vec::with_capacity(sight.members.len()), None);
    for answer in answers {
        match answer {
            Ok(some) => seen.extend(some),
            Err(error) => trouble = Some(CallError::from(error)),
        }
    }
    learnt(seen, trouble)
}

async fn ask(
    step: &HttpStep,
    question: &Question,
    at: &Services,
    members: &[Member<'_>],
    shared: &Shared<'_>,
) -> Result<Vec<(Ordinal, Seen)>, ClientError> {
    // GET sends no body.
    let components = if question.method == Method::Get { Vec::new() } else { names(members, shared) };
    let body = Body { session: shared.session, step: shared.step, components };
    let message = Message {
        method: question.method,
        url: &question.url,
        token: step.token.as_ref(),
        key: None,
        body: &body,
    };
    let heard = at.webhook.ask(message).await?;
    let verdicts = judge(members, shared, &condition(question, &heard), heard.document.as_ref());
    let seen = members.iter().zip(verdicts).map(|(member, verdict)| {
        let seen = match verdict {
            Verdict::Good => Seen::Reached(None),
            Verdict::Waits(why) => Seen::Waits(why),
            Verdict::Bad(why) => Seen::Spent(Reason::new(ReasonCode::WebhookFailed, why)),
        };
        (member.ordinal, seen)
    });
    Ok(seen.collect())
}

/// Whether the condition holds: no answer but a good one can say so, and none says that it never will.
fn condition(question: &Question, heard: &Heard) -> Verdict {
    if !heard.is_good() {
        return Verdict::Waits(format!("status {}", heard.status));
    }
    let unmet = match (&question.until, &heard.document) {
        (None, _) => None,
        (Some(until), Some(document)) => until.unmet(document),
        (Some(_), None) => Some("the answer is not JSON".to_owned()),
    };
    unmet.map_or(Verdict::Good, |why| Verdict::Waits(clean(&why)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::site::Until;

    #[test]
    fn only_a_good_answer_that_says_so_meets_the_condition() {
        let question = |until| Question {
            method: Method::Get,
            url: "http://wlm/".to_owned().try_into().unwrap(),
            until,
        };
        let heard = |status, document| Heard { status, text: String::new(), document };
        let until = || Some(Until { at: "/state".to_owned(), equals: json!("idle") });
        let waits = |why: &str| Verdict::Waits(why.to_owned());
        for (until, status, document, verdict) in [
            (None, 204, None, Verdict::Good),
            (None, 503, None, waits("status 503")),
            (until(), 200, Some(json!({"state": "idle"})), Verdict::Good),
            (until(), 503, Some(json!({"state": "idle"})), waits("status 503")),
            (until(), 200, Some(json!({"state": "busy"})), waits("/state is \"busy\", not \"idle\"")),
            (until(), 200, None, waits("the answer is not JSON")),
        ] {
            assert_eq!(condition(&question(until), &heard(status, document)), verdict);
        }
    }
}
