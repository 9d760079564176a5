//! Guards against doing more than was meant: what whoever asks has seen, expects or has confirmed.

use serde::{Deserialize, Serialize};

use super::{Admit, Api, Rejection, SessionRequest};
use crate::{db, model::plan::Plan, plan::change::Shown};

/// What whoever asks has seen, expects or has confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Guards {
    /// The session is refused if it were for more components than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_at_most: Option<u32>,
    /// For so many components it is known and meant, whatever the site wants to have confirmed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirmed: Option<u32>,
    /// The plan that was shown: this one and no other is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan_hash: Option<String>,
}

impl Guards {
    /// Whether a session for so many components passes, where the site wants sessions for more than `confirm_over` (if
    /// any) to be confirmed.
    fn pass(&self, members: usize, confirm_over: Option<u32>) -> Result<(), Rejection> {
        let over = |most: u32| members > usize::try_from(most).unwrap_or(usize::MAX);
        if let Some(most) = self.expect_at_most.filter(|most| over(*most)) {
            return Err(Rejection::TooMany { members, most });
        }
        match confirm_over {
            Some(most) if over(most) && self.confirmed.is_none_or(over) => {
                Err(Rejection::Unconfirmed { members, most })
            }
            _ => Ok(()),
        }
    }
}

impl Admit {
    /// Holds a resolved session against its guards. What BOS's clients ask for needs no confirmation: they could not give
    /// it.
    pub(super) async fn guard(
        &self,
        request: &SessionRequest,
        plan: &Plan,
        plan_hash: &str,
        confirm_over: u32,
    ) -> Result<(), Rejection> {
        let confirm_over = (request.api == Api::Bosun && confirm_over > 0).then_some(confirm_over);
        request.guards.pass(plan.members.len(), confirm_over)?;
        let Some(wanted) = request.guards.plan_hash.as_deref().filter(|wanted| *wanted != plan_hash) else {
            return Ok(());
        };
        let mut conn = db::acquire(&self.pool).await?;
        let shown = db::plan_shown::get(&mut conn, wanted).await?;
        let shown = shown.and_then(|content| serde_json::from_value::<Shown>(content).ok());
        Err(Rejection::PlanChanged(match shown {
            Some(shown) => shown.changes(&Shown::of(plan)),
            None => vec!["what was shown is not kept any more, or was never shown here".to_owned()],
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_reboots_the_machine_by_mistake() {
        let none = Guards::default();
        assert!(none.pass(10_000, None).is_ok() && none.pass(50, Some(50)).is_ok());
        assert!(matches!(none.pass(51, Some(50)), Err(Rejection::Unconfirmed { members: 51, most: 50 })));
        let confirmed = |count| Guards { confirmed: Some(count), ..Guards::default() };
        assert!(confirmed(51).pass(51, Some(50)).is_ok());
        assert!(confirmed(51).pass(52, Some(50)).is_err(), "more by now than were confirmed");
        let expects = Guards { expect_at_most: Some(10), confirmed: Some(u32::MAX), ..Guards::default() };
        assert!(matches!(expects.pass(11, None), Err(Rejection::TooMany { members: 11, most: 10 })));
        assert!(expects.pass(10, None).is_ok());
    }
}
