//! The loop of a worker: one session, one writer.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{
    clients::{Services, otlp},
    db::{self, Connection, DbError, lease::Lease, listen::Heard},
    model::{
        Timestamp,
        command::PendingCommand,
        event::{EventKind, NewEvent},
        metric,
        options::Options,
        plan::{Ordinal, Plan},
        session::SessionId,
    },
    plan::flow::{Flow, Input, Output, Pace},
};

mod claims;
mod command;
mod freeze;

use command::{answers, refusal};

use super::{
    EngineError, EngineSettings, Exit,
    call::{self, Hands, Outcome},
    clock::Clock,
    heartbeat::{self, Heartbeat},
    journal::{Halt, Journal},
    memory,
    record::Recorder,
    story,
};

mod lease;
mod options;

use lease::{park, take_lease, was_taken};

/// How often everything that hints announce is looked for anyway.
const POLL_INTERVAL: Duration = Duration::from_secs(10);
/// How long a planned stop waits for the answers to calls that are under way.
const STOP_PATIENCE: Duration = Duration::from_secs(3);
/// How long reports are gathered once the first has come, while they come in crowds; and one that comes alone, which a
/// whole boot set may wait for.
const REPORTS_GATHER: Duration = Duration::from_millis(40);
const REPORT_GATHER_ALONE: Duration = Duration::from_millis(5);
/// Reports that follow each other faster are a crowd.
const REPORTS_CROWD: Duration = Duration::from_millis(200);
/// Most inputs fed at once: what arrives together is written together.
const INPUTS_MAX: usize = 256;

/// Drives a session until it is over, needs an operator, or `stop` is asked for.
#[tracing::instrument(name = "session", skip_all, fields(%session))]
pub async fn run(
    settings: &EngineSettings,
    services: Arc<Services>,
    session: SessionId,
    stop: CancellationToken,
) -> Result<Exit, EngineError> {
    let mut connection = db::open(&settings.database_url, "bosun worker").await?;
    let Some((lease, taken)) = take_lease(settings, &mut connection, session, &stop).await? else {
        return Ok(if stop.is_cancelled() { Exit::Planned } else { Exit::Done });
    };
    tracing::info!(%session, epoch = lease.epoch(), worker = settings.worker, "at work");
    let clock = Clock::new(lease.at());
    let heart = heartbeat::spawn(settings.database_url.clone(), lease.clone(), taken, clock.clone())?;
    let driven = match Driver::load(settings, services, connection, &lease, heart, clock).await {
        Ok(driver) => driver.drive(stop).await,
        Err(halt) => Err(halt),
    };
    match driven {
        Ok(exit) => Ok(exit),
        Err(Halt::Error(EngineError::Fenced)) if !was_taken(settings, &lease).await => {
            Err(EngineError::Fenced)
        }
        Err(Halt::LeaseLost | Halt::Error(EngineError::Fenced)) => {
            tracing::warn!(%session, epoch = lease.epoch(), "another worker has the lease; stopping without a word");
            Ok(Exit::Done)
        }
        Err(Halt::CommitsLost { confirmed, found }) => {
            let reason = format!(
                "the database lost commits: it had confirmed event {confirmed} and now ends at {found}; compare the \
                 machine with the history, then resume"
            );
            park(settings, session, &lease, &reason).await
        }
        Err(Halt::Error(EngineError::Db(DbError::Unknown { what, value }))) => {
            let reason = format!("{what} is {value}, which this version does not know; nothing is guessed");
            park(settings, session, &lease, &reason).await
        }
        Err(Halt::Error(error)) => Err(error),
    }
}

/// A worker with everything in its hands.
struct Driver {
    plan: Arc<Plan>,
    flow: Flow,
    recorder: Recorder,
    journal: Journal,
    hands: Hands,
    heart: Heartbeat,
    clock: Clock,
    ordinals: HashMap<i32, Ordinal>,
    /// Rows of `hand_over` that are open: what was given is looked for again until nothing is left.
    asked: Vec<i64>,
    /// Whom a freeze covers, as the flow was told last.
    frozen: Vec<i32>,
    /// When the session was admitted, and asked for what others held.
    admitted_at: Timestamp,
    /// Claims were wanted already when the session was loaded.
    wanted_before: bool,
    wake: Option<Timestamp>,
    next_poll: Instant,
    last_reports: Instant,
    over: bool,
    heed: fn(&Options),
}

impl Driver {
    async fn load(
        settings: &EngineSettings,
        services: Arc<Services>,
        mut connection: Connection,
        lease: &Lease,
        heart: Heartbeat,
        clock: Clock,
    ) -> Result<Self, Halt> {
        let alive_for = call::alive_for(&services);
        let pace = Pace {
            call_alive_for: TimeDelta::from_std(alive_for).expect("a timeout in seconds"),
            power_time_scale: services.settings.pcs_minute.as_secs_f64() / 60.0,
            ..Pace::default()
        };
        let remembered = memory::load(&mut connection, &lease.session()).await?;
        let plan = remembered.plan.clone();
        let titles = remembered.titles.clone();
        let session = titles.session.clone();
        let recorder = Recorder::new(plan.clone(), titles, remembered.last_seq, remembered.errors, alive_for);
        let fence = heart.fence.clone();
        let hands = Hands::new(
            plan.clone(),
            services,
            (lease.session(), &session),
            remembered.trace,
            clock.clone(),
            fence.clone(),
        );
        let url = settings.database_url.clone();
        let mut driver = Self {
            flow: Flow::new(plan.clone(), &remembered.past, pace),
            ordinals: plan
                .members
                .iter()
                .zip(0..)
                .map(|(member, n)| (member.component.0, Ordinal(n)))
                .collect(),
            journal: Journal::new(url, connection, lease.clone(), fence, remembered.last_seq),
            plan,
            recorder,
            hands,
            heart,
            clock,
            asked: Vec::new(),
            frozen: Vec::new(),
            admitted_at: remembered.admitted_at,
            wanted_before: remembered.wanted,
            wake: None,
            next_poll: Instant::now() + POLL_INTERVAL,
            last_reports: Instant::now(),
            over: false,
            heed: settings.heed,
        };
        driver.heed_options().await?;
        let data = json!({
            "worker": settings.worker, "epoch": lease.epoch(), "previous": lease.takeover(),
            "take_over": lease.takeover().is_some(),
        });
        let line = driver.recorder.line(NewEvent { kind: EventKind::LeaseAcquired, actor: None, data });
        driver.journal.save(&line).await?;
        Ok(driver)
    }

    async fn drive(mut self, stop: CancellationToken) -> Result<Exit, Halt> {
        self.begin().await?;
        loop {
            if self.over {
                self.leave().await?;
                return Ok(Exit::Done);
            }
            if self.flow.rests() && !self.obey().await? && !self.heed_claims().await? {
                self.leave().await?;
                return Ok(Exit::Done);
            }
            if stop.is_cancelled() {
                return self.stop().await;
            }
            let inputs = self.inputs(&stop).await?;
            if inputs.is_empty() && stop.is_cancelled() {
                continue;
            }
            let outputs = self.flow.feed_all(self.clock.now(), inputs);
            self.carry_out(outputs, Vec::new(), true).await?;
        }
    }

    /// Gives the lease back.
    async fn leave(&mut self) -> Result<(), Halt> {
        if self.over && otlp::is_on() {
            let session = self.journal.session();
            let told = self.journal.read(async |connection| {
                let session = db::session::get_by_id(connection, &session).await?;
                story::tell(connection, &session).await
            });
            told.await?;
        }
        self.tell_counts().await;
        self.journal.release().await
    }

    /// What this worker counted must not end with it.
    async fn tell_counts(&mut self) {
        let samples = self.hands.services().tally.take();
        if !samples.is_empty() {
            self.journal.report(&samples).await;
        }
    }

    /// Starts with the commands that wait: the retry of a session that had ended has to be known before its end is.
    async fn begin(&mut self) -> Result<(), Halt> {
        let (mut inputs, mut ids, mut refused) = (self.claims().await?, Vec::new(), Vec::new());
        inputs.extend(self.frozen().await?);
        for PendingCommand { id, request, actor } in self.pending().await? {
            match self.understand(&request).await? {
                Ok(command) => {
                    inputs.push(Input::Command { command, actor, reason: request.reason });
                    ids.push(id);
                }
                Err(why) => refused.push((id, refusal(&request, &why, actor), why)),
            }
        }
        let mut outputs = self.flow.start_with(self.clock.now(), inputs);
        let answers = answers(&outputs).chain(std::iter::repeat("obeyed")).map(str::to_owned);
        let mut commands: Vec<(i64, String)> = ids.into_iter().zip(answers).collect();
        for (id, event, why) in refused {
            outputs.push(Output::Event(event));
            commands.push((id, why));
        }
        self.carry_out(outputs, commands, true).await
    }

    /// Waits for the next thing to happen and takes what arrived together with it.
    async fn inputs(&mut self, stop: &CancellationToken) -> Result<Vec<Input>, Halt> {
        let wake = self.wake.map_or(self.next_poll, |at| self.clock.instant(at).min(self.next_poll));
        let mut inputs = Vec::new();
        let mut hints = Vec::new();
        tokio::select! {
            biased;
            () = self.heart.fence.passed() => return Err(EngineError::Fenced.into()),
            () = stop.cancelled() => return Ok(inputs),
            Some(done) = self.hands.calls.join_next() => inputs.push(input(done)?),
            Some(done) = self.hands.questions.join_next() => inputs.push(input(done)?),
            Some(hint) = self.heart.hints.recv() => hints.push(hint),
            () = tokio::time::sleep_until(wake.into()) => inputs.push(Input::Tick),
        }
        while inputs.len() < INPUTS_MAX {
            match self.hands.calls.try_join_next().or_else(|| self.hands.questions.try_join_next()) {
                Some(done) => inputs.push(input(done)?),
                None => break,
            }
        }
        while let Ok(hint) = self.heart.hints.try_recv() {
            hints.push(hint);
        }
        self.follow(hints, &mut inputs).await?;
        Ok(inputs)
    }

    /// Reads what hints announce, and now and then what none announced.
    async fn follow(&mut self, hints: Vec<Heard>, inputs: &mut Vec<Input>) -> Result<(), Halt> {
        let mut reported: Vec<i32> = Vec::new();
        let (mut command, mut claims, mut freeze) = (false, false, false);
        let mut everything = Instant::now() >= self.next_poll;
        let mut hints = hints;
        if hints.iter().any(|hint| matches!(hint, Heard::Reports(_))) {
            // Nodes boot in crowds: reports that arrive together are written together.
            let crowd = self.last_reports.elapsed() < REPORTS_CROWD;
            tokio::time::sleep(if crowd { REPORTS_GATHER } else { REPORT_GATHER_ALONE }).await;
            self.last_reports = Instant::now();
            while let Ok(hint) = self.heart.hints.try_recv() {
                hints.push(hint);
            }
        }
        for hint in hints {
            match hint {
                Heard::Reports(components) => reported.extend(components),
                Heard::Command => command = true,
                Heard::Claims => claims = true,
                Heard::Freeze => freeze = true,
                Heard::Gap => everything = true,
                Heard::Launcher | Heard::Events(_) => {}
            }
        }
        if everything {
            self.next_poll = Instant::now() + POLL_INTERVAL;
            self.heed_options().await?;
            self.tell_counts().await;
            (command, claims, freeze) = (true, true, true);
            let waiting = self.flow.awaits_report();
            reported.extend(waiting.iter().map(|ordinal| self.plan.members[ordinal.0 as usize].component.0));
        }
        reported.sort_unstable();
        reported.dedup();
        if !reported.is_empty() {
            let reports =
                self.journal.read(async |connection| db::component::reports(connection, &reported).await);
            let reports = reports.await?;
            let known = reports.into_iter().filter_map(|(component, report)| {
                self.ordinals.get(&component).map(|ordinal| (*ordinal, report))
            });
            inputs.push(Input::Reported(known.collect()));
        }
        if claims {
            inputs.extend(self.claims().await?);
        }
        if freeze {
            inputs.extend(self.frozen().await?);
        }
        if command {
            self.obey().await?;
        }
        Ok(())
    }

    /// Makes durable what has to be, then does what follows.
    async fn carry_out(
        &mut self,
        outputs: Vec<Output>,
        commands: Vec<(i64, String)>,
        issue: bool,
    ) -> Result<(), Halt> {
        if let Some(checkpoint) = self.recorder.checkpoint(&self.flow, &outputs, commands, issue) {
            let begun = Instant::now();
            let at = self.journal.save(&checkpoint).await?;
            self.hands.services().tally.measure(metric::CHECKPOINT_SECONDS, &[], begun.elapsed());
            if let Some(at) = at {
                self.clock.heard(at, Instant::now());
            }
        }
        self.wake = None;
        let released = outputs.iter().any(|output| matches!(output, Output::Release(_)));
        for output in outputs {
            match output {
                Output::Call { effect, step, rung, members } if issue => {
                    self.hands.call(&self.flow, effect, step, rung, &members);
                }
                Output::Find(effect) if issue => self.hands.find(&self.flow, effect),
                Output::Abort(effect) if issue => self.hands.abort(&self.flow, effect),
                Output::Observe { step, members, effects } if issue => {
                    self.hands.observe(&self.flow, step, &members, effects);
                }
                Output::Wake(at) => self.wake = Some(at),
                Output::Over(_) => self.over = true,
                _ => {}
            }
        }
        if released && !self.asked.is_empty() && !self.flow.is_giving() && !self.over {
            // Boxed: what is found may release more.
            Box::pin(self.heed_claims()).await?;
        }
        Ok(())
    }

    /// A planned stop: nothing new is issued, answers that are on their way are kept, the lease is given back.
    async fn stop(mut self) -> Result<Exit, Halt> {
        let patience = Instant::now() + STOP_PATIENCE;
        while !self.hands.calls.is_empty() && !self.over {
            let answer = tokio::time::timeout_at(patience.into(), self.hands.calls.join_next()).await;
            let Ok(Some(done)) = answer else { break };
            let outputs = self.flow.feed(self.clock.now(), input(done)?);
            self.carry_out(outputs, Vec::new(), false).await?;
        }
        if !self.over {
            let data = json!({ "calls_unanswered": self.hands.calls.len() });
            let line = self.recorder.line(NewEvent { kind: EventKind::LeaseReleased, actor: None, data });
            self.journal.save(&line).await?;
        }
        self.leave().await?;
        Ok(if self.over { Exit::Done } else { Exit::Planned })
    }
}

fn input(done: Result<Outcome, tokio::task::JoinError>) -> Result<Input, Halt> {
    match done {
        Ok(Outcome::Input(input)) => Ok(input),
        Ok(Outcome::Fenced) => Err(EngineError::Fenced.into()),
        // A panic in a verb is a defect of ours; the process dies of it and the crash budget counts it.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
