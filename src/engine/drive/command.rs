//! Commands of operators: read, understood, obeyed or refused with a reason.

use serde_json::json;

use crate::{
    db,
    model::{
        command::{Command, CommandKind, CommandRequest, PendingCommand},
        event::{EventKind, NewEvent},
        plan::{Ordinal, StepNo},
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
        let step = match &request.step {
            Some(name) => Some(self.step(name, &members)?),
            None => None,
        };
        Ok(match request.kind {
            CommandKind::Pause => Command::Pause,
            CommandKind::Resume => Command::Resume,
            CommandKind::Cancel => Command::Cancel,
            CommandKind::Retry => Command::Retry { members, from: step },
            CommandKind::Restart => {
                Command::Restart { step: step.ok_or("restart needs the name of a step")?, members }
            }
            CommandKind::Skip => Command::Skip { members, step },
            CommandKind::Disable => Command::Disable { members },
            CommandKind::RetryPolicy => Command::RetryPolicy { members: Vec::new() },
        })
    }

    /// The step of this name: `compute/power_off`, or `power_off` where only one boot set is meant.
    fn step(&self, name: &str, members: &[Ordinal]) -> Result<StepNo, String> {
        let slice = members.first().map(|ordinal| self.plan.members[ordinal.0 as usize].slice);
        let matches = |step: &crate::model::plan::Step| {
            let short = step.name.rsplit('/').next() == Some(name);
            step.name == name || (short && slice.is_none_or(|slice| slice == step.slice))
        };
        let found: Vec<usize> = self
            .plan
            .steps
            .iter()
            .enumerate()
            .filter(|(_, step)| matches(step))
            .map(|(index, _)| index)
            .collect();
        match found.as_slice() {
            [one] => Ok(StepNo(*one as i16)),
            [] => {
                let names: Vec<&str> = self.plan.steps.iter().map(|step| step.name.as_str()).collect();
                Err(format!("there is no step '{name}'; the steps are {}", names.join(", ")))
            }
            several => {
                let names: Vec<&str> =
                    several.iter().map(|index| self.plan.steps[*index].name.as_str()).collect();
                Err(format!("'{name}' is the name of several steps; say one of {}", names.join(", ")))
            }
        }
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
