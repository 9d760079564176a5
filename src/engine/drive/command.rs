//! Commands of operators: read, understood, obeyed or refused with a reason.

use std::collections::BTreeSet;

use serde_json::json;

use crate::{
    db,
    model::{
        command::{Command, CommandKind, CommandRequest, PendingCommand},
        event::{EventKind, NewEvent},
        plan::{Ordinal, SliceNo, Step, StepNo},
    },
    plan::flow::{Input, Output},
};

use super::{Driver, Halt};

impl Driver {
    pub(super) async fn pending(&mut self) -> Result<Vec<PendingCommand>, Halt> {
        let session = self.journal.session();
        self.journal.read(async |connection| db::command::pending(connection, &session).await).await
    }

    /// Obeys the commands that wait; whether there were any.
    pub(super) async fn obey(&mut self) -> Result<bool, Halt> {
        let pending = self.pending().await?;
        let any = !pending.is_empty();
        for PendingCommand { id, request, actor } in pending {
            match self.understand(&request).await? {
                Ok(command) => {
                    let reason = request.reason.clone();
                    let outputs = self.flow.feed(self.clock.now(), Input::Command { command, actor, reason });
                    let answer = answers(&outputs).next().unwrap_or("obeyed").to_owned();
                    self.carry_out(outputs, vec![(id, answer)], true).await?;
                }
                Err(why) => {
                    let event = refusal(&request, &why, actor);
                    self.carry_out(vec![Output::Event(event)], vec![(id, why)], true).await?;
                }
            }
        }
        Ok(any)
    }

    pub(super) async fn understand(
        &mut self,
        request: &CommandRequest,
    ) -> Result<Result<Command, String>, Halt> {
        if request.kind != CommandKind::RetryPolicy {
            return Ok(self.read(request));
        }
        let asked = &request.components;
        let policies =
            self.journal.read(async |conn| db::component::retry_policies(conn, asked).await).await?;
        let member = |component: &i32| {
            let policy =
                policies.binary_search_by_key(component, |(id, _)| *id).map(|at| policies[at].1).ok();
            Some((*self.ordinals.get(component)?, policy))
        };
        Ok(Ok(Command::RetryPolicy { members: asked.iter().filter_map(member).collect() }))
    }

    fn read(&self, request: &CommandRequest) -> Result<Command, String> {
        let members: Vec<Ordinal> =
            request.components.iter().filter_map(|component| self.ordinals.get(component).copied()).collect();
        if members.is_empty() && !request.components.is_empty() {
            return Err("none of the components named is in this session".to_owned());
        }
        let steps = match &request.step {
            Some(name) => self.steps(name, &members)?,
            None => Vec::new(),
        };
        let of_a_step = |what: &str| match steps.is_empty() {
            true => Err(format!("{what} needs the name of a step")),
            false => Ok(steps.clone()),
        };
        Ok(match request.kind {
            CommandKind::Pause => Command::Pause,
            CommandKind::Resume => Command::Resume,
            CommandKind::Approve => Command::Approve,
            CommandKind::Cancel => Command::Cancel { at_once: request.at_once },
            CommandKind::Retry => Command::Retry { members, from: steps },
            CommandKind::Restart => Command::Restart { steps: of_a_step("restart")?, members },
            CommandKind::Skip => Command::Skip { members, steps },
            CommandKind::Pass => Command::Pass { steps: of_a_step("pass")?, members },
            CommandKind::Set => Command::Set(request.settings.clone()),
            CommandKind::Disable => Command::Disable { members },
            CommandKind::RetryPolicy => Command::RetryPolicy { members: Vec::new() },
        })
    }

    /// The steps of this name: `compute/power_off`, or `power_off` in every boot set that has some of the members (all
    /// of them where nobody is named).
    fn steps(&self, name: &str, members: &[Ordinal]) -> Result<Vec<StepNo>, String> {
        let slices: BTreeSet<SliceNo> =
            members.iter().map(|ordinal| self.plan.members[ordinal.0 as usize].slice).collect();
        let is_meant = |step: &Step| {
            let short = step.name.rsplit('/').next() == Some(name);
            step.name == name || (short && (slices.is_empty() || slices.contains(&step.slice)))
        };
        let numbered = self.plan.steps.iter().zip(0..);
        let found: Vec<StepNo> =
            numbered.filter(|(step, _)| is_meant(step)).map(|(_, number)| StepNo(number)).collect();
        if found.is_empty() {
            let names: Vec<&str> = self.plan.steps.iter().map(|step| step.name.as_str()).collect();
            return Err(format!("there is no step '{name}' for them; the steps are {}", names.join(", ")));
        }
        Ok(found)
    }
}

/// What the flow answered to commands, in their order.
pub(super) fn answers(outputs: &[Output]) -> impl Iterator<Item = &str> {
    outputs.iter().filter_map(|output| match output {
        Output::Event(event) if event.kind == EventKind::Command => event.data.get("answer")?.as_str(),
        _ => None,
    })
}

pub(super) fn refusal(request: &CommandRequest, why: &str, actor: String) -> NewEvent {
    let data = json!({ "command": request.kind, "answer": why, "refused": true });
    NewEvent { kind: EventKind::Command, actor: Some(actor), data }
}
