//! The waves of a session as our own API shows them: who waits for which gate, and why. Pure: rows in, JSON out.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::answer::COUNT;
use crate::{
    api::schema::{Shape, required, text},
    db::{session::Session, wave::WaveRow},
    model::{gate::Gates, session::SessionState},
};

/// A wave.
pub(super) const WAVE: Shape = Shape::Named(
    "Wave",
    &Shape::Object(&[
        required("wave", &COUNT),
        required("components", &COUNT),
        required("waiting", &COUNT),
        required("inside", &COUNT),
        required("failed", &COUNT),
        required("gate", &Shape::Nullable(&text(usize::MAX))),
    ]),
);

/// Every wave; a session whose gates know nothing has none to show.
pub(super) fn shown(session: &Session, gates: &Gates, waves: &[WaveRow]) -> Vec<Value> {
    let inside = waves.iter().map(|wave| wave.inside).sum();
    let all = waves.iter().map(|wave| wave.components).sum();
    let shown = waves.iter().enumerate().map(|(index, wave)| {
        let earlier = waves[..index].iter().find(|earlier| earlier.waiting + earlier.inside > 0);
        json!({
            "wave": wave.wave,
            "components": wave.components,
            "waiting": wave.waiting,
            "inside": wave.inside,
            "failed": wave.failed,
            "gate": (wave.waiting > 0).then(|| gate(session, gates, earlier, inside, all)),
        })
    });
    shown.collect()
}

/// What those before a gate wait for.
fn gate(session: &Session, gates: &Gates, earlier: Option<&WaveRow>, inside: i64, all: i64) -> String {
    let most = gates.max_unavailable.map(|share| share.at_most(usize::try_from(all).unwrap_or_default()));
    let most = most.and_then(|most| i64::try_from(most).ok());
    match (session.state, gates.not_before.filter(|from| session.now < *from)) {
        (SessionState::Running, Some(from)) => {
            format!("opens at {}", from.to_rfc3339_opts(SecondsFormat::Secs, true))
        }
        _ if earlier.is_some() => format!("waits for wave {}", earlier.map_or(0, |wave| wave.wave)),
        (SessionState::Running, None) => match most.filter(|most| inside >= *most) {
            Some(most) => format!("full: {inside} inside, {most} at most"),
            None => "open".to_owned(),
        },
        (state, _) => format!("closed: the session is {}", state.label()),
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta};

    use super::*;
    use crate::model::gate::Share;

    fn row(wave: i32, waiting: i64, inside: i64) -> WaveRow {
        WaveRow { wave, components: 10, waiting, inside, failed: 0 }
    }

    #[test]
    fn who_waits_is_told_for_what() {
        let mut session = super::super::view::tests::running(20, 0);
        let mut gates = Gates { max_unavailable: Some(Share::Count(2)), ..Gates::default() };
        let waves = [row(1, 5, 1), row(2, 10, 0)];
        let told = |session: &Session, gates: &Gates, waves: &[WaveRow]| {
            let gates = shown(session, gates, waves).into_iter().map(|wave| wave["gate"].clone());
            gates.map(|gate| gate.as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(told(&session, &gates, &waves), ["open", "waits for wave 1"]);
        assert_eq!(told(&session, &gates, &[row(1, 0, 2), row(2, 10, 0)]), ["-", "waits for wave 1"]);
        assert_eq!(told(&session, &gates, &[row(1, 5, 2)]), ["full: 2 inside, 2 at most"]);
        gates.not_before = Some(DateTime::UNIX_EPOCH + TimeDelta::seconds(60));
        assert_eq!(told(&session, &gates, &waves)[0], "opens at 1970-01-01T00:01:00Z");
        session.state = SessionState::Halted;
        assert_eq!(told(&session, &gates, &waves)[0], "closed: the session is halted");
    }
}
