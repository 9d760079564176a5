//! How a transition goes on: tasks, orders to BMCs, looks at the table, the deadline of each stage.

use uuid::Uuid;

use super::table::Power;
use super::transition::{Next, Operation, Status, Task, TaskStatus, Transition};
use crate::sim::clock::Moment;
use crate::sim::faults::NodeFault;
use crate::sim::hsm::{Holder, Reservation};
use crate::sim::layout::{Kind, kind_of};
use crate::sim::machine::Order;
use crate::sim::world::{Event, NodeNo, World};

const NOT_ACHIEVED: &str = "Failed to achieve transition";

/// One thing that is done to all nodes of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Graceful,
    Force,
    On,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Self::Graceful => "gracefulshutdown",
            Self::Force => "forceoff",
            Self::On => "on",
        }
    }

    fn order(self) -> Order {
        match self {
            Self::Graceful => Order::SoftOff,
            Self::Force => Order::ForceOff,
            Self::On => Order::On,
        }
    }

    fn goal(self) -> Power {
        if self == Self::On { Power::On } else { Power::Off }
    }
}

impl World {
    /// Does what the transition's next event is for.
    pub fn transition_goes_on(&mut self, number: usize) {
        let transition = &mut self.pcs.transitions[number];
        if transition.status == Status::AbortSignaled && transition.next != Next::GiveUpOnBmcs {
            return self.abort(number);
        }
        match std::mem::replace(&mut transition.next, Next::Nothing) {
            Next::Announce => {
                transition.status = Status::InProgress;
                self.then(number, Next::MakeTasks, self.settings.pcs_start / 2);
            }
            Next::MakeTasks => self.make_tasks(number),
            Next::GiveUpOnBmcs => self.give_up_on_bmcs(number),
            Next::Confirm => self.confirm(number),
            Next::Complete => self.complete(number, Status::Completed),
            Next::Nothing => {}
        }
    }

    fn then(&mut self, number: usize, next: Next, time: std::time::Duration) {
        self.pcs.transitions[number].next = next;
        self.schedule(time, Event::Transition { number });
    }

    fn make_tasks(&mut self, number: usize) {
        let transition = &mut self.pcs.transitions[number];
        let (operation, locations) = (transition.operation, std::mem::take(&mut transition.locations));
        let mut tasks = Vec::with_capacity(locations.len());
        for location in locations {
            let mut task = Task {
                xname: location.xname,
                deputy_key: location.deputy_key,
                node: None,
                status: TaskStatus::New,
                description: "".into(),
                error: "".into(),
                confirming: false,
                reserved: false,
            };
            self.judge(&mut task, operation, number);
            tasks.push(task);
        }
        // A task that wanted a node and could not have it still costs its stage's sleep.
        let tried = tasks.iter().any(|task| task.node.is_some());
        self.pcs.transitions[number].tasks = tasks;
        if tried {
            self.begin_stage(number, 0);
        } else {
            self.then(number, Next::Complete, self.settings.pcs_start / 2);
        }
    }

    /// Decides from the table and from HSM whether the task can be begun.
    fn judge(&mut self, task: &mut Task, operation: Operation, number: usize) {
        use TaskStatus::{Failed, Succeeded, Unsupported};
        let known = self.names.get(&task.xname).copied();
        let Some(kind) = kind_of(&task.xname) else { return task.end(Failed, NOT_ACHIEVED, "Invalid xname") };
        let believed = known.and_then(|no| self.believed(no));
        let (Some(no), Some(power)) = (known, believed) else {
            let exists = self.parents.iter().any(|(id, _)| *id == task.xname) || kind == Kind::Processor;
            return if exists {
                let error = format!("No power control for component type {}", kind.name());
                task.end(Unsupported, NOT_ACHIEVED, error)
            } else {
                task.end(Failed, NOT_ACHIEVED, "Missing xname")
            };
        };
        if !self.hsm.records[no].present {
            return task.end(Failed, NOT_ACHIEVED, "Xname not found in HSM");
        }
        let already = match operation {
            Operation::On => power == Power::On,
            Operation::Off | Operation::SoftOff | Operation::ForceOff => power == Power::Off,
            Operation::SoftRestart | Operation::HardRestart if power == Power::Off => {
                let description = format!("Component must be in the On state for {}", operation.name());
                return task.end(Failed, description, "Component is in the wrong power state");
            }
            _ => false,
        };
        if already {
            return task.end(Succeeded, "Component already in desired state", "");
        }
        task.node = Some(no);
        match self.take_reservation(no, task.deputy_key.as_deref(), number) {
            Ok(reserved) => task.reserved = reserved,
            Err(error) => task.end(Failed, NOT_ACHIEVED, error),
        }
    }

    /// Reserves a node for the transition, or acts under somebody's deputy key (`false`).
    fn take_reservation(
        &mut self,
        no: NodeNo,
        deputy_key: Option<&str>,
        number: usize,
    ) -> Result<bool, &'static str> {
        let now = self.now;
        let record = &mut self.hsm.records[no];
        let key = deputy_key.filter(|key| !key.is_empty());
        if let Some(held) = &record.reservation {
            return match key {
                Some(key) if held.admits(key) => Ok(false),
                Some(_) => Err("Invalid deputy key and unable to reserve component"),
                None => Err("Unable to reserve component"),
            };
        }
        if record.locked || record.reservations_disabled {
            return Err("Unable to reserve component");
        }
        let holder = Holder::Transition(number);
        record.reservation = Some(Reservation { holder, created: now, expires: Moment::NEVER });
        Ok(true)
    }

    /// Sends the stage's orders to all nodes that need it; goes to the next stage if none does.
    fn begin_stage(&mut self, number: usize, stage: usize) {
        let transition = &self.pcs.transitions[number];
        let (id, operation) = (transition.id, transition.operation);
        let Some(&what) = operation.stages().get(stage) else {
            return self.then(number, Next::Complete, std::time::Duration::ZERO);
        };
        let pending = transition.tasks.iter().any(Task::is_open);
        let open: Vec<(usize, NodeNo)> = transition
            .tasks
            .iter()
            .enumerate()
            .filter(|(_, task)| task.is_open())
            .filter_map(|(at, task)| Some((at, task.node?)))
            .filter(|&(_, no)| self.believed(no) != Some(what.goal()))
            .collect();
        if open.is_empty() && (stage > 0 || pending) {
            return self.begin_stage(number, stage + 1);
        }
        let mut silent = false;
        for (at, no) in open {
            silent |= !self.send(number, at, no, what, id);
        }
        let minutes = self.pcs.transitions[number].deadline_minutes;
        let deadline = match u32::try_from(minutes) {
            Ok(minutes) => self.now.after(self.settings.pcs_minute * minutes),
            Err(_) => Moment::NEVER,
        };
        let transition = &mut self.pcs.transitions[number];
        (transition.stage, transition.stage_deadline) = (stage, deadline);
        if silent {
            self.then(number, Next::GiveUpOnBmcs, self.settings.pcs_bmc_patience);
        } else {
            self.then(number, Next::Confirm, self.settings.pcs_confirm_interval);
        }
    }

    /// Sends one order; false if the BMC does not answer.
    fn send(&mut self, number: usize, at: usize, no: NodeNo, stage: Stage, id: Uuid) -> bool {
        let answers = !self.nodes[no].faults.has(NodeFault::BmcDead);
        if answers {
            self.order(no, stage.order(), id);
        }
        let unconfirmed = self.pcs.transitions[number].deadline_minutes == 0;
        let task = &mut self.pcs.transitions[number].tasks[at];
        task.confirming = answers;
        task.status = TaskStatus::InProgress;
        task.description = match stage {
            Stage::Graceful => "Confirming successful transition, gracefulshutdown".into(),
            Stage::Force => "Confirming successful transition, forceoff".into(),
            Stage::On => "Confirming successful transition, on".into(),
        };
        if unconfirmed && answers && stage == Stage::On {
            // Deadline 0 is meant as "do not confirm"; the stage's end takes it back.
            task.status = TaskStatus::Succeeded;
        }
        answers
    }

    fn give_up_on_bmcs(&mut self, number: usize) {
        let transition = &mut self.pcs.transitions[number];
        let stage = transition.operation.stages()[transition.stage];
        for task in &mut transition.tasks {
            let Some(no) = task.node.filter(|_| task.is_open() && !task.confirming) else { continue };
            if self.nodes[no].faults.has(NodeFault::BmcDead) {
                let bmc = crate::sim::layout::bmc_of(&task.xname);
                let error = format!(
                    "Post \"https://{bmc}/redfish/v1/Systems/Node0/Actions/ComputerSystem.Reset\": dial tcp: connect: connection refused"
                );
                task.end(TaskStatus::Failed, format!("Failed to apply transition, {}", stage.name()), error);
            }
        }
        self.then(number, Next::Confirm, self.settings.pcs_confirm_interval);
    }

    /// Looks at the table. What it does not show by the stage's deadline has failed, or goes to the next stage.
    fn confirm(&mut self, number: usize) {
        let now = self.now;
        let Self { pcs, .. } = self;
        let super::Pcs { table, transitions, .. } = pcs;
        let transition = &mut transitions[number];
        let stages = transition.operation.stages();
        let stage = stages[transition.stage];
        let last = transition.stage + 1 == stages.len();
        let late = now >= transition.stage_deadline;
        let never_confirmed = transition.deadline_minutes == 0;
        let force_follows = stages.get(transition.stage + 1) == Some(&Stage::Force);
        let mut waiting = false;
        for task in transition.tasks.iter_mut().filter(|task| task.confirming) {
            let reached = task.node.and_then(|no| table[no]).is_some_and(|seen| seen.power == stage.goal());
            if reached && !never_confirmed {
                task.confirming = false;
                if last || (stage != Stage::On && transition.operation == Operation::Off) {
                    task.end(TaskStatus::Succeeded, format!("Transition confirmed, {}", stage.name()), "");
                }
            } else if late && force_follows {
                task.confirming = false;
            } else if late && never_confirmed && stage == Stage::Force {
                // Stays in progress for ever: the transition completes around it.
                task.confirming = false;
            } else if late {
                let error = format!("Timeout waiting for transition, {}.", stage.name());
                task.end(TaskStatus::Failed, NOT_ACHIEVED, error);
            } else {
                waiting = true;
            }
        }
        if waiting {
            self.then(number, Next::Confirm, self.settings.pcs_confirm_interval);
        } else if last {
            self.complete(number, Status::Completed);
        } else {
            let next = self.pcs.transitions[number].stage + 1;
            self.begin_stage(number, next);
        }
    }

    fn complete(&mut self, number: usize, status: Status) {
        let transition: &mut Transition = &mut self.pcs.transitions[number];
        transition.status = status;
        transition.next = Next::Nothing;
        for task in &mut transition.tasks {
            let Some(no) = task.node.filter(|_| std::mem::take(&mut task.reserved)) else { continue };
            let ours = |held: &mut Reservation| held.holder == Holder::Transition(number);
            self.hsm.records[no].reservation.take_if(ours);
        }
    }

    /// What was sent is not taken back.
    fn abort(&mut self, number: usize) {
        for task in self.pcs.transitions[number].tasks.iter_mut().filter(|task| task.is_open()) {
            let description = format!("Aborted. Last status - {}", task.description);
            task.end(TaskStatus::Failed, description, "Transition aborted");
        }
        self.complete(number, Status::Aborted);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::sim::clock::Clock;
    use crate::sim::pcs::Location;
    use crate::sim::settings::{Pick, Settings};

    /// A machine of four nodes with the times of a real one, in virtual time.
    struct Rig {
        world: World,
        seconds: u64,
    }

    impl Rig {
        fn new(change: impl FnOnce(&mut Settings)) -> Self {
            let mut settings = Settings { nodes: 4, jitter: 0.0, ..Settings::default() };
            settings.pcs_sample_interval = Duration::from_secs(30);
            settings.pcs_confirm_interval = Duration::from_secs(15);
            change(&mut settings);
            let mut rig = Self { world: World::new(settings, Clock::start()), seconds: 0 };
            rig.pass(1);
            rig
        }

        fn pass(&mut self, seconds: u64) {
            self.seconds += seconds;
            self.world.advance(Moment::START.after(Duration::from_secs(self.seconds)));
        }

        fn post(&mut self, operation: Operation, minutes: i64, node: &str) -> usize {
            let location = Location { xname: node.to_owned(), deputy_key: None };
            self.world.create_transition(operation, minutes, vec![location]);
            self.world.pcs.transitions.len() - 1
        }

        /// Seconds until the transition is over, and what became of its task.
        fn run(&mut self, number: usize) -> (u64, TaskStatus, String, String) {
            let begun = self.seconds;
            while !matches!(self.world.pcs.transitions[number].status, Status::Completed | Status::Aborted) {
                self.pass(1);
                assert!(self.seconds < begun + 1000, "it goes on for ever");
            }
            let task = &self.world.pcs.transitions[number].tasks[0];
            (self.seconds - begun, task.status, task.description.to_string(), task.error.to_string())
        }
    }

    const NODE: &str = "x1000c0s0b0n0";

    #[test]
    fn a_healthy_stage_takes_until_the_table_shows_it() {
        let mut rig = Rig::new(|_| ());
        let number = rig.post(Operation::SoftOff, 1, NODE);
        let (seconds, status, description, error) = rig.run(number);
        assert_eq!(
            (status, description.as_str()),
            (TaskStatus::Succeeded, "Transition confirmed, gracefulshutdown")
        );
        assert_eq!(error, "");
        assert!((29..=32).contains(&seconds), "{seconds}");
        assert!(!rig.world.nodes[0].powered);
    }

    #[test]
    fn counts_are_empty_while_it_starts() {
        let mut rig = Rig::new(|settings| settings.pcs_start = Duration::from_secs(4));
        let number = rig.post(Operation::SoftOff, 1, NODE);
        rig.pass(3);
        let transition = &rig.world.pcs.transitions[number];
        assert_eq!((transition.status, transition.tasks.len()), (Status::InProgress, 0));
    }

    #[test]
    fn a_stale_table_calls_a_node_that_goes_off_on() {
        let mut rig = Rig::new(|_| ());
        rig.post(Operation::ForceOff, 1, NODE);
        rig.pass(5);
        assert!(!rig.world.nodes[0].powered);
        let number = rig.post(Operation::On, 1, NODE);
        let (seconds, status, description, _) = rig.run(number);
        assert_eq!(
            (status, description.as_str()),
            (TaskStatus::Succeeded, "Component already in desired state")
        );
        assert!(seconds <= 1);
        assert!(!rig.world.nodes[0].powered);
    }

    #[test]
    fn a_busy_node_is_a_failed_task_and_costs_a_sleep() {
        let mut rig = Rig::new(|_| ());
        rig.post(Operation::SoftOff, 1, NODE);
        rig.pass(1);
        let number = rig.post(Operation::ForceOff, 1, NODE);
        let (seconds, status, description, error) = rig.run(number);
        assert_eq!((status, description.as_str()), (TaskStatus::Failed, NOT_ACHIEVED));
        assert_eq!(error, "Unable to reserve component");
        assert!((15..=16).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_node_that_stays_on_fails_at_the_deadline_only() {
        let mut rig = Rig::new(|settings| settings.fail_power_off = Pick::Xnames(vec![NODE.into()]));
        let number = rig.post(Operation::Off, 1, NODE);
        let (seconds, status, _, error) = rig.run(number);
        assert_eq!(
            (status, error.as_str()),
            (TaskStatus::Failed, "Timeout waiting for transition, forceoff.")
        );
        assert!((120..=122).contains(&seconds), "{seconds}");
    }

    #[test]
    fn a_dead_bmc_fails_after_its_tries_and_the_sleep() {
        let mut rig = Rig::new(|settings| settings.bmc_dead = Pick::Xnames(vec![NODE.into()]));
        let number = rig.post(Operation::SoftOff, 1, NODE);
        let (seconds, status, description, error) = rig.run(number);
        assert_eq!(
            (status, description.as_str()),
            (TaskStatus::Failed, "Failed to apply transition, gracefulshutdown")
        );
        assert!(error.contains("connection refused"), "{error}");
        assert!((22..=24).contains(&seconds), "{seconds}");
        assert!(rig.world.nodes[0].powered);
    }

    #[test]
    fn deadline_zero_goes_wrong_both_ways() {
        let mut rig = Rig::new(|settings| settings.initially = crate::sim::Initially::Off);
        let on = rig.post(Operation::On, 0, NODE);
        rig.pass(2);
        assert_eq!(rig.world.pcs.transitions[on].tasks[0].status, TaskStatus::Succeeded);
        let (_, status, _, error) = rig.run(on);
        assert_eq!((status, error.as_str()), (TaskStatus::Failed, "Timeout waiting for transition, on."));

        let mut rig = Rig::new(|_| ());
        let off = rig.post(Operation::Off, 0, NODE);
        let (_, status, _, _) = rig.run(off);
        assert_eq!(status, TaskStatus::InProgress);
    }

    #[test]
    fn an_abort_is_noticed_at_the_next_look_and_takes_nothing_back() {
        let mut rig = Rig::new(|_| ());
        let number = rig.post(Operation::ForceOff, 5, NODE);
        rig.pass(1);
        assert!(rig.world.pcs.transitions[number].signal_abort());
        let (seconds, status, description, error) = rig.run(number);
        assert_eq!((status, error.as_str()), (TaskStatus::Failed, "Transition aborted"));
        assert!(description.starts_with("Aborted. Last status - Confirming"), "{description}");
        assert!((14..=15).contains(&seconds), "{seconds}");
        assert!(!rig.world.nodes[0].powered);
        assert!(rig.world.hsm.records[0].reservation.is_none());
    }

    #[test]
    fn a_hard_restart_goes_off_and_on() {
        let mut rig = Rig::new(|_| ());
        let number = rig.post(Operation::HardRestart, 5, NODE);
        let (seconds, status, description, _) = rig.run(number);
        assert_eq!((status, description.as_str()), (TaskStatus::Succeeded, "Transition confirmed, on"));
        assert!((45..=75).contains(&seconds), "{seconds}");
        let edges: Vec<bool> = rig.world.machine.edges.iter().map(|edge| edge.on).collect();
        assert_eq!(edges, [false, true]);
    }

    #[test]
    fn hopeless_xnames_fail_at_once() {
        let mut rig = Rig::new(|settings| settings.empty = Pick::Xnames(vec![NODE.into()]));
        for (xname, error) in [
            ("foo", "Invalid xname"),
            ("x9c0s0b0n0", "Missing xname"),
            (NODE, "Missing xname"),
            ("x1000c0s0b0", "No power control for component type NodeBMC"),
        ] {
            let number = rig.post(Operation::On, 1, xname);
            let (seconds, status, _, said) = rig.run(number);
            assert_eq!(said, error);
            assert_eq!(status == TaskStatus::Unsupported, xname == "x1000c0s0b0");
            assert!(seconds <= 1);
        }
    }
}
