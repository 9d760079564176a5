//! Freezes: maintenance locks over the machine, or a part of it.

use super::Timestamp;

/// A maintenance lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// Its number.
    pub id: i64,
    /// Why.
    pub reason: String,
    /// Who set it.
    pub actor: String,
    /// Whom it covers, as it was asked for; empty: the whole machine.
    pub scope: String,
    /// Who is exempt, as it was asked for.
    pub exempt: String,
    /// Whose sessions are exempt.
    pub except_actors: Vec<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub until: Option<Timestamp>,
    /// When somebody lifted it.
    pub lifted_at: Option<Timestamp>,
    /// Who.
    pub lifted_by: Option<String>,
    /// Whether it is in force now.
    pub in_force: bool,
}

impl Freeze {
    /// Why nothing is begun, for people.
    pub fn told(&self) -> String {
        let what = if self.scope.is_empty() { "the machine" } else { "a part of the machine" };
        let until = match self.until {
            None => String::new(),
            Some(until) => format!(" until {}", until.format("%Y-%m-%d %H:%M UTC")),
        };
        format!("{what} is frozen by {}{until} (freeze {}): {}", self.actor, self.id, self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_freeze_tells_who_why_and_how_long() {
        let at: Timestamp = "2026-03-01T06:00:00Z".parse().unwrap();
        let freeze = Freeze {
            id: 7,
            reason: "pump repair".to_owned(),
            actor: "ann".to_owned(),
            scope: String::new(),
            exempt: String::new(),
            except_actors: Vec::new(),
            created_at: at,
            until: Some(at),
            lifted_at: None,
            lifted_by: None,
            in_force: true,
        };
        assert_eq!(
            freeze.told(),
            "the machine is frozen by ann until 2026-03-01 06:00 UTC (freeze 7): pump repair"
        );
        let part = Freeze { scope: "x1000c0".to_owned(), until: None, ..freeze };
        assert_eq!(part.told(), "a part of the machine is frozen by ann (freeze 7): pump repair");
    }
}
