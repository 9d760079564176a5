//! Hand-over (law 9): what the claims of the session's components say, told to the flow.

use std::collections::BTreeMap;

use crate::{
    db::{self, component_progress::LastPower},
    model::{Timestamp, plan::Ordinal, session::SessionId},
    plan::flow::{Flow, Input, Output},
};

use super::{Driver, Halt};

/// What somebody is called whose session is not known any more.
const NOBODY: &str = "another session";

impl Driver {
    /// Looks at the claims if somebody wants components of the session, or if it waits for some itself; what the flow
    /// has to be told of them.
    pub(super) async fn claims(&mut self) -> Result<Vec<Input>, Halt> {
        let session = self.journal.session();
        self.asked =
            self.journal.read(async |connection| db::hand_over::open(connection, &session).await).await?;
        if self.asked.is_empty() && !self.flow.awaits_any() && !std::mem::take(&mut self.wanted_before) {
            return Ok(Vec::new());
        }
        let ids: Vec<i32> = self.plan.members.iter().map(|member| member.component.0).collect();
        let look = async |connection: &mut db::Connection| {
            db::component_progress::last_power(connection, &ids).await
        };
        let rows = self.journal.read(look).await?;
        let told = Told::of((session, self.admitted_at), &rows, &self.flow, |component| {
            self.ordinals.get(&component).copied()
        });
        let others: Vec<SessionId> = told.wanted.keys().flatten().chain(told.kept.keys()).copied().collect();
        let names =
            self.journal.read(async |connection| db::session::names(connection, &others).await).await?;
        if told.gives_nothing && !self.asked.is_empty() {
            let (lease, asked) = (self.journal.lease().clone(), std::mem::take(&mut self.asked));
            let close = async |connection: &mut db::Connection| {
                db::hand_over::close(connection, &lease, &asked).await
            };
            self.journal.read(close).await?;
        }
        Ok(told.inputs(&names))
    }

    /// Heeds the claims now; whether that changed anything.
    pub(super) async fn heed_claims(&mut self) -> Result<bool, Halt> {
        let inputs = self.claims().await?;
        if inputs.is_empty() {
            return Ok(false);
        }
        let outputs = self.flow.feed_all(self.clock.now(), inputs);
        let any = outputs.iter().any(|output| !matches!(output, Output::Wake(_)));
        self.carry_out(outputs, Vec::new(), true).await?;
        Ok(any)
    }
}

/// What the claims say.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Ours since somebody gave them, with the last power effect on each.
    granted: Vec<(Ordinal, Option<Timestamp>)>,
    /// Not ours to go on with, by the session that has or gets them.
    wanted: BTreeMap<Option<SessionId>, Vec<Ordinal>>,
    /// Not given to us after all, by the session that keeps them.
    kept: BTreeMap<SessionId, Vec<Ordinal>>,
    /// Nobody wants anything that is ours.
    gives_nothing: bool,
}

impl Told {
    fn of(
        (session, admitted_at): (SessionId, Timestamp),
        rows: &[LastPower],
        flow: &Flow,
        ordinal: impl Fn(i32) -> Option<Ordinal>,
    ) -> Self {
        let mut told = Self { gives_nothing: true, ..Self::default() };
        for row in rows {
            let Some(ordinal) = ordinal(row.component) else { continue };
            let (ours, awaits) = (row.claimed_by == Some(session), flow.awaits(ordinal));
            if ours && awaits {
                told.granted.push((ordinal, row.last_power_at));
            }
            if ours && row.wanted_by.is_some() {
                told.gives_nothing = false;
                told.wanted.entry(row.wanted_by).or_default().push(ordinal);
            } else if awaits && !ours && row.wanted_by != Some(session) {
                // Whoever has it has had it since before it was asked for, and is not asked any more.
                let had = row.handed_over_at.is_none_or(|at| at < admitted_at);
                if let (true, None, Some(holder)) = (had, row.wanted_by, row.claimed_by) {
                    told.kept.entry(holder).or_default().push(ordinal);
                    continue;
                }
                told.wanted.entry(row.wanted_by.or(row.claimed_by)).or_default().push(ordinal);
            }
        }
        told
    }

    fn inputs(self, names: &BTreeMap<SessionId, String>) -> Vec<Input> {
        let granted = (!self.granted.is_empty()).then_some(Input::Granted(self.granted));
        let name = |of: Option<SessionId>| {
            of.and_then(|of| names.get(&of)).map_or(NOBODY, String::as_str).to_owned()
        };
        let wanted = self.wanted.into_iter().map(|(by, members)| Input::Wanted { by: name(by), members });
        let kept = self.kept.into_iter().map(|(by, members)| Input::Kept { by: name(Some(by)), members });
        granted.into_iter().chain(wanted).chain(kept).collect()
    }
}
