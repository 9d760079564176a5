//! A session as a trace: told once, when it is over, from what the database has of it. So it is the same whichever workers
//! died on the way. Requests to services are told as they happen, by whoever makes them (`clients::otlp`).

use crate::{
    clients::otlp::{self, Attribute, Span, Trace},
    db::{self, Connection, DbError, effect::EffectLine, session::Session, step::StepRow},
    model::{Timestamp, effect::EffectNo, plan::StepNo, session::Outcome},
};

/// Most effects that are told; a session of 100,000 components has a few hundred.
const EFFECTS_MAX: i64 = 10_000;

/// Tells of a session that is over.
pub async fn tell(connection: &mut Connection, session: &Session) -> Result<(), DbError> {
    let steps = db::step::list(connection, &session.id).await?;
    let effects = db::effect::newest(connection, &session.id, EFFECTS_MAX).await?;
    spans(session, &steps, &effects).into_iter().for_each(otlp::record);
    Ok(())
}

fn spans(session: &Session, steps: &[StepRow], effects: &[EffectLine]) -> Vec<Span> {
    let trace = Trace::of(session.id, session.created_at);
    let end = session.ended_at.unwrap_or(session.now);
    let text = |text: &str| Attribute::Text(text.to_owned());
    let number = |number: i32| Attribute::Number(number.into());
    let root = Span {
        place: trace.root(),
        parent: None,
        name: format!("session {}", session.new.operation),
        is_request: false,
        from: session.created_at,
        to: end,
        attributes: vec![
            ("bosun.session", text(session.new.name.as_str())),
            ("bosun.session_id", Attribute::Number(session.id.0)),
            ("bosun.tenant", text(&session.new.tenant)),
            ("bosun.template", text(&session.new.template_name)),
            ("bosun.actor", text(&session.new.actor)),
            ("bosun.outcome", text(session.outcome.map_or("", Outcome::label))),
            ("bosun.members", number(session.members)),
            ("bosun.succeeded", number(session.succeeded)),
            ("bosun.failed", number(session.failed)),
            ("bosun.skipped", number(session.skipped)),
        ],
        error: failed(session.failed),
    };
    let admission = Span {
        place: trace.admission(),
        parent: Some(trace.root().span),
        name: "admission".to_owned(),
        is_request: false,
        from: session.created_at,
        to: session.admitted_at.unwrap_or(session.created_at),
        attributes: vec![("bosun.skipped", number(session.skipped_at_admission))],
        error: None,
    };
    let mut spans = vec![root, admission];
    spans.extend(steps.iter().filter_map(|step| {
        let place = trace.step(StepNo(step.counters.step));
        Some(Span {
            place,
            parent: Some(trace.root().span),
            name: step.name.clone(),
            is_request: false,
            from: step.started_at?,
            to: step.ended_at.unwrap_or(end),
            attributes: vec![
                ("bosun.verb", text(&step.verb)),
                ("bosun.succeeded", number(step.counters.succeeded)),
                ("bosun.failed", number(step.counters.failed)),
                ("bosun.skipped", number(step.counters.skipped)),
                ("bosun.effects", number(step.counters.attempts)),
            ],
            error: failed(step.counters.failed),
        })
    }));
    spans.extend(effects.iter().map(|effect| {
        let step = steps.iter().find(|step| step.name == effect.step);
        let parent = step.map_or(trace.root(), |step| trace.step(StepNo(step.counters.step)));
        let mut attributes = vec![
            ("bosun.effect", number(effect.no)),
            ("bosun.step", text(&effect.step)),
            ("bosun.rung", text(&effect.rung)),
            ("bosun.state", text(&effect.state)),
            ("bosun.components", number(effect.components)),
        ];
        attributes.extend(effect.reference.as_deref().map(|reference| ("bosun.reference", text(reference))));
        Span {
            place: trace.effect(EffectNo(effect.no)),
            parent: Some(parent.span),
            name: format!("{} {}", effect.verb, effect.rung),
            is_request: false,
            from: effect.intended_at,
            to: over(effect, end),
            attributes,
            error: effect.error.clone(),
        }
    }));
    spans
}

/// When an effect was over, as far as anybody knew.
fn over(effect: &EffectLine, end: Timestamp) -> Timestamp {
    effect.settled_at.or(effect.answered_at).or(effect.lost_at).unwrap_or(end)
}

fn failed(count: i32) -> Option<String> {
    (count > 0).then(|| format!("{count} failed"))
}
