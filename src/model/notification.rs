//! Notifications: news of a session for people who do not look.

use super::Timestamp;

/// News of a session.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    /// Its number; who gets it twice knows it by that.
    pub id: i64,
    /// What happened: `ended`, `halted`, `stuck`, `overdue`.
    pub kind: String,
    /// Why, where somebody said so.
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// How often it was tried before.
    pub tries: i32,
    /// The session's number.
    pub session_id: i64,
    /// Its name.
    pub session: String,
    /// Whose; empty: nobody's.
    pub tenant: String,
    /// What it does.
    pub operation: String,
    /// With which template.
    pub template: String,
    /// Where it is now.
    pub state: String,
    /// How it ended.
    pub outcome: Option<String>,
    /// Everybody the request named.
    pub members: i32,
    /// As counted at its end.
    pub succeeded: i32,
    /// As counted at its end.
    pub failed: i32,
    /// As counted at its end.
    pub skipped: i32,
    /// The command that is to be typed next, if there is one.
    pub next_command: Option<String>,
    /// The launch of its worker, as far as is known here.
    pub launch: i32,
}

impl Notification {
    /// Whether somebody has to do something.
    pub fn is_warning(&self) -> bool {
        self.kind != "ended" || !matches!(self.outcome.as_deref(), Some("succeeded" | "nothing_to_do"))
    }

    /// In a sentence.
    pub fn told(&self) -> String {
        let what = match (self.kind.as_str(), self.outcome.as_deref()) {
            ("ended", Some("rejected")) => "was rejected".to_owned(),
            ("ended", outcome) => format!(
                "ended: {}, {} succeeded, {} failed, {} skipped",
                outcome.unwrap_or("unknown"),
                self.succeeded,
                self.failed,
                self.skipped
            ),
            (kind, _) => format!("is {kind}"),
        };
        let why = self.reason.as_ref().map_or_else(String::new, |reason| format!("; {reason}"));
        let next = self.next_command.as_ref().map_or_else(String::new, |next| format!("; next: {next}"));
        format!("session '{}' ({}) {what}{why}{next}", self.session, self.operation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_is_a_sentence() {
        let news = Notification {
            id: 1,
            kind: "ended".to_owned(),
            reason: None,
            at: Timestamp::UNIX_EPOCH,
            tries: 0,
            session_id: 7,
            session: "night".to_owned(),
            tenant: String::new(),
            operation: "reboot".to_owned(),
            template: "demo".to_owned(),
            state: "ended".to_owned(),
            outcome: Some("partial".to_owned()),
            members: 3,
            succeeded: 2,
            failed: 1,
            skipped: 0,
            next_command: Some("bosun session retry night".to_owned()),
            launch: 1,
        };
        assert_eq!(
            news.told(),
            "session 'night' (reboot) ended: partial, 2 succeeded, 1 failed, 0 skipped; next: bosun session retry night"
        );
        assert!(news.is_warning());
        let halted = Notification { kind: "halted".to_owned(), reason: Some("5 failed".to_owned()), ..news };
        assert!(halted.told().starts_with("session 'night' (reboot) is halted; 5 failed"));
    }
}
