//! Taking over what another BOS knows of a component. What bosun itself knows better stays: this file says what that is.

use super::{
    Timestamp,
    artifacts::{BootArtifacts, BootArtifactsId},
};

/// What BOS knows of a component, as far as it means something to bosun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Foreign<A = BootArtifacts> {
    /// Its id.
    pub id: String,
    /// What it runs: its token, what BOS recorded for it, and when it was last heard of.
    pub running: Option<Running<A>>,
    /// What it was to boot.
    pub desired: Option<A>,
    /// How it was to be configured; empty for not at all.
    pub configuration: String,
    /// Its own number of attempts.
    pub retry_policy: Option<i32>,
}

/// What a node reported, and what BOS made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running<A = BootArtifacts> {
    /// The BSS token.
    pub token: String,
    /// What it stands for.
    pub artifacts: A,
    /// When BOS last heard of it; none: it does not say.
    pub at: Option<Timestamp>,
}

/// What bosun knows of a component.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// Whether it reported to bosun, or bosun acted on it, or a session holds it.
    pub is_familiar: bool,
    /// The token it was last heard to run.
    pub token: String,
    /// What it is known to run.
    pub running: Option<BootArtifactsId>,
    /// Whether anything is known of what it is to become.
    pub has_desire: bool,
    /// Its own number of attempts.
    pub retry_policy: Option<i32>,
}

/// What is written of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Adopted {
    /// What it runs.
    pub running: bool,
    /// What it is to become.
    pub desire: bool,
    /// Its number of attempts.
    pub retry_policy: bool,
}

impl Adopted {
    /// Whether anything is.
    pub fn is_something(self) -> bool {
        self.running || self.desire || self.retry_policy
    }
}

/// What became of one thing that was to be taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// bosun has it now.
    Taken,
    /// bosun had it, and as it is.
    Unchanged,
    /// It was left, for this reason.
    Left(String),
}

/// Says what of a component is taken over. Nothing that bosun found out itself is replaced; a component about which it
/// knows nothing takes all.
pub fn adopt(own: &Own, foreign: &Foreign<BootArtifactsId>) -> (Adopted, Fate) {
    let runs = |running: &Running<BootArtifactsId>| {
        own.token == running.token && own.running == Some(running.artifacts)
    };
    let is_news = foreign.running.as_ref().is_some_and(|running| !runs(running));
    let has_desire = foreign.desired.is_some() || !foreign.configuration.is_empty();
    let adopted = Adopted {
        running: is_news && !own.is_familiar,
        desire: has_desire && !own.has_desire && !own.is_familiar,
        retry_policy: foreign.retry_policy.is_some() && own.retry_policy.is_none(),
    };
    let fate = match () {
        () if is_news && own.is_familiar => {
            Fate::Left("bosun has news of its own of what it runs, or is at work on it".to_owned())
        }
        () if adopted.is_something() => Fate::Taken,
        () => Fate::Unchanged,
    };
    (adopted, fate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn foreign() -> Foreign<BootArtifactsId> {
        Foreign {
            id: "x1000c0s0b0n0".to_owned(),
            running: Some(Running { token: "t".to_owned(), artifacts: BootArtifactsId(1), at: None }),
            desired: Some(BootArtifactsId(1)),
            configuration: "day2".to_owned(),
            retry_policy: Some(5),
        }
    }

    #[test]
    fn who_is_unknown_takes_all_and_then_nothing_more() {
        let (adopted, fate) = adopt(&Own::default(), &foreign());
        assert_eq!(adopted, Adopted { running: true, desire: true, retry_policy: true });
        assert_eq!(fate, Fate::Taken);
        let own = Own {
            token: "t".to_owned(),
            running: Some(BootArtifactsId(1)),
            has_desire: true,
            retry_policy: Some(5),
            ..Own::default()
        };
        assert_eq!(adopt(&own, &foreign()), (Adopted::default(), Fate::Unchanged));
        let own = Own { token: "old".to_owned(), ..own };
        assert_eq!(
            adopt(&own, &foreign()).0,
            Adopted { running: true, ..Adopted::default() },
            "booted by BOS since"
        );
    }

    #[test]
    fn what_bosun_found_out_itself_stays() {
        let own = Own { is_familiar: true, token: "own".to_owned(), ..Own::default() };
        let (adopted, fate) = adopt(&own, &foreign());
        assert_eq!(adopted, Adopted { retry_policy: true, ..Adopted::default() });
        assert!(matches!(fate, Fate::Left(_)), "{fate:?}");
        let own =
            Own { token: "t".to_owned(), running: Some(BootArtifactsId(1)), retry_policy: Some(1), ..own };
        assert_eq!(adopt(&own, &foreign()).1, Fate::Unchanged, "both say the same");
    }
}
