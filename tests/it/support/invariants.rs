//! What must hold after every session, whatever happened on its way: I1–I12 of the engine's protocol, as questions to the
//! database (each row of an answer is a violation), and what the simulated machine saw, held against it.

use std::collections::BTreeMap;

use bosun::{
    db, engine,
    model::{Timestamp, session::SessionId},
    plan::flow::{Flow, Pace},
};
use serde::Deserialize;

use super::app::App;

/// Clocks of one machine, read in two ways; and the simulator tells milliseconds.
const CLOCK_ERROR: chrono::TimeDelta = chrono::TimeDelta::milliseconds(5);

/// Facts that stand: the last word of each component in each step that no later send-back undid.
const STANDING: &str = "
  with recursive
  reach (from_no, to_no) as (
    select from_no, to_no from step_edge where session_id = $1 and kind = 'per_component'
    union
    select r.from_no, e.to_no from reach r
      join step_edge e on e.session_id = $1 and e.from_no = r.to_no and e.kind = 'per_component'),
  fact as (
    select r.step_no, r.run, r.kind, r.seq, r.part, r.sent_to, r.decision, r.error_no, r.attempts, u.c
      from step_result_batch r cross join lateral unnest(r.component_ids) u (c) where r.session_id = $1),
  standing as (
    select distinct on (f.step_no, f.c) f.* from fact f
     where f.kind in ('succeeded', 'failed', 'skipped', 'passed')
       and not exists (select from fact b where b.kind = 'sent_back' and b.c = f.c and (b.seq, b.part) > (f.seq, f.part)
                          and (b.sent_to = f.step_no or exists (
                                 select from reach where from_no = b.sent_to and to_no = f.step_no)))
     order by f.step_no, f.c, f.seq desc, f.part desc),
  member as (
    select u.c, b.slice_no from session_component_batch b cross join lateral unnest(b.component_ids) u (c)
     where b.session_id = $1 and b.slice_no is not null),
  fate as (
    select m.c, m.slice_no,
           coalesce(bool_or(s.kind = 'failed'), false) as failed, coalesce(bool_or(s.kind = 'skipped'), false) as skipped,
           min(s.error_no) filter (where s.kind in ('failed', 'skipped')) as error_no,
           min(s.decision) as decision
      from member m left join standing s on s.c = m.c group by m.c, m.slice_no),
  power as (
    select u.c, f.verb, f.rung_name, f.state, f.intended_at
      from effect f cross join lateral unnest(f.component_ids) u (c)
     where f.session_id = $1 and f.verb in ('power_off', 'power_on'))
";

/// Name and question; `$1` is the session; `crash::tampered` proves that each can be answered. Those that begin with `select` stand alone, the others follow [`STANDING`].
pub const QUESTIONS: [(&str, &str); 15] = [
    (
        "I1, I3: epochs never fall",
        "select format('event %s of epoch %s follows one of epoch %s', seq, epoch, before)
           from (select seq, epoch, lag(epoch) over (order by seq) as before from event where session_id = $1) e
          where epoch < before",
    ),
    (
        "I2: events are dense from 1",
        "select format('%s events, from %s to %s', count(*), min(seq), max(seq)) from event where session_id = $1
         having count(*) <> max(seq) or min(seq) <> 1",
    ),
    (
        "I4: a result is durable before a later step acts",
        "(select format('effect %s of step %s was intended before component %s was through step %s',
                        f.effect_no, f.step_no, u.c, e.from_no)
            from effect f cross join lateral unnest(f.component_ids) u (c)
            join step_edge e on e.session_id = f.session_id and e.to_no = f.step_no and e.kind = 'per_component'
            join fact r on r.step_no = e.from_no and r.c = u.c and r.kind = 'succeeded'
           where f.session_id = $1 and r.seq > f.seq
             and not exists (select from fact b where b.kind = 'sent_back' and b.c = u.c))",
    ),
    (
        "I4: no power-on without a recorded power-off",
        "(select format('component %s was powered on %s times after %s power-offs', p.c, p.ons, coalesce(o.offs, 0))
            from (select c, count(distinct intended_at) as ons from power
                   where verb = 'power_on' and state <> 'not_taken' group by c) p
            join fate on fate.c = p.c and fate.decision = 'power_cycle'
            left join (select c, count(*) as offs from fact
                         join step on step.session_id = $1 and step.step_no = fact.step_no and step.verb = 'power_off'
                        where fact.kind = 'succeeded' group by c) o on o.c = p.c
           where o.offs is null)",
    ),
    (
        "I5: a component is through a step once in a run",
        "(select format('component %s has %s results in step %s, run %s', c, count(*), step_no, run) from fact
           where kind in ('succeeded', 'failed', 'skipped', 'passed') group by c, step_no, run having count(*) > 1)",
    ),
    (
        "I6, I7: a step's counters are the fold of the facts",
        "(select format('%s counts %s succeeded, %s failed, %s skipped; its facts say %s, %s, %s', t.name, t.succeeded,
                        t.failed, t.skipped, n.succeeded, n.failed, n.skipped)
            from step t
            join slice l on l.session_id = t.session_id and l.slice_no = t.slice_no
            join lateral (
              select count(*) filter (where s.kind = 'succeeded') as succeeded,
                     count(*) filter (where s.kind = 'failed') as failed,
                     count(*) filter (where s.kind = 'skipped'
                       or s.kind is null and (f.failed or f.skipped) and not exists (
                            select from jsonb_array_elements_text(coalesce(t.definition->'when', '[]')) w (name)
                             where case w.name
                                     when 'configured' then l.configuration is null
                                     when 'projected' then not l.projected
                                     when 'powers_off' then f.decision not in ('power_off', 'power_cycle')
                                     when 'powers_on' then f.decision not in ('power_on', 'power_cycle')
                                     when 'stays_up' then f.decision <> 'configure_only'
                                     when 'ends_up' then f.decision not in ('power_on', 'power_cycle', 'configure_only')
                                   end)) as skipped
                from fate f left join standing s on s.c = f.c and s.step_no = t.step_no
               where f.slice_no = t.slice_no) n on true
           where t.session_id = $1
             and (t.succeeded, t.failed, t.skipped) is distinct from (n.succeeded, n.failed, n.skipped))",
    ),
    (
        "I7: at the end nobody is on the way",
        "select format('%s ended with %s not reached and %s in flight', name, not_reached, in_flight) from step
          where session_id = $1 and not_reached + in_flight <> 0
            and exists (select from session where session_id = $1 and state = 'ended')",
    ),
    (
        "I7: a step's attempts are its effects",
        "select format('%s counts %s attempts; its effects are %s', t.name, t.attempts, coalesce(f.n, 0))
           from step t
           left join (select step_no, sum(cardinality(component_ids)) as n from effect
                       where session_id = $1 and state <> 'not_taken' group by step_no) f on f.step_no = t.step_no
          where t.session_id = $1 and t.attempts <> coalesce(f.n, 0)",
    ),
    (
        "I7: the session's counts are the fold of the facts",
        "(select format('the session counts %s succeeded, %s failed, %s skipped of %s; its facts say %s, %s, %s of %s',
                        s.succeeded, s.failed, s.skipped, s.members - s.skipped_at_admission, n.succeeded, n.failed,
                        n.skipped, n.members)
            from session s,
                 (select count(*) as members, count(*) filter (where failed) as failed,
                         count(*) filter (where skipped and not failed) as skipped,
                         count(*) filter (where not failed and not skipped) as succeeded from fate) n
           where s.session_id = $1 and s.state = 'ended'
             and (s.succeeded, s.failed, s.skipped, s.members - s.skipped_at_admission)
                 is distinct from (n.succeeded, n.failed, n.skipped, n.members))",
    ),
    (
        "I6: a component's progress is the fold of the facts",
        "(select format('component %s shows phase %s, error %s, last power %s, powered on %s, action %s failed %s; its facts say error %s, %s, %s, action %s failed %s',
                        p.c, q.phase, q.error_no, q.last_power_at, q.powered_on_at, q.last_action, q.last_action_failed,
                        p.error_no, n.power_at, n.on_at, n.action, p.failed)
            from fate p
            join component_progress q on q.component_id = p.c and q.session_id = $1
            join session s on s.session_id = $1 and s.state = 'ended'
            join lateral (
              select max(intended_at) as power_at, max(intended_at) filter (where verb = 'power_on') as on_at,
                     (array_agg(case rung_name when 'On' then 'powering_on' when 'Force-Off' then 'powering_off_forcefully'
                                               else 'powering_off_gracefully' end order by intended_at desc))[1] as action
                from power where power.c = p.c) n on true
           where q.phase <> '' or q.error_no is distinct from p.error_no
              or n.power_at is not null and (q.last_power_at, q.last_action) is distinct from (n.power_at, n.action)
              or n.on_at is distinct from q.powered_on_at
              or q.last_action_failed <> p.failed)",
    ),
    (
        "I6: a component's attempts are its effects, and none once it is through",
        "(select format('component %s shows %s power-ons, %s soft and %s forced power-offs; its effects are %s, %s, %s', p.c,
                        q.power_on_attempts, q.power_off_graceful_attempts, q.power_off_forceful_attempts, n.ons, n.soft,
                        n.forced)
            from fate p
            join component_progress q on q.component_id = p.c and q.session_id = $1
            join session s on s.session_id = $1 and s.state = 'ended'
            join lateral (select count(*) filter (where rung_name = 'On') as ons,
                                 count(*) filter (where rung_name = 'Soft-Off') as soft,
                                 count(*) filter (where rung_name = 'Force-Off') as forced
                            from power where power.c = p.c) n on true
           where (q.power_on_attempts::int8, q.power_off_graceful_attempts::int8, q.power_off_forceful_attempts::int8) is distinct from
                 case when p.failed or p.skipped then (n.ons, n.soft, n.forced) else (0::int8, 0::int8, 0::int8) end)",
    ),
    (
        "law 3: a result tells how many effects it took",
        "(select format('component %s: %s in step %s after %s effects, not %s', r.c, r.kind, r.step_no, n.n, r.attempts)
            from fact r
            join lateral (select count(*) as n from effect f
                           where f.session_id = $1 and f.step_no = r.step_no and f.state <> 'not_taken'
                             and f.seq <= r.seq and r.c = any (f.component_ids)) n on true
           where r.kind in ('succeeded', 'failed') and r.attempts <> n.n
             and not exists (select from fact b where b.kind = 'sent_back' and b.c = r.c))",
    ),
    (
        "I8: an effect belongs to the epoch that wrote it",
        "select format('effect %s of epoch %s was written by event %s of epoch %s', f.effect_no, f.epoch, f.seq, e.epoch)
           from effect f join event e on e.session_id = f.session_id and e.seq = f.seq
          where f.session_id = $1 and f.epoch <> e.epoch",
    ),
    (
        "I9: a session that has ended holds nothing and leaves nothing open",
        "select format('component %s is held by session %s, which has ended', p.component_id, p.claimed_by)
           from component_progress p join session s on s.session_id = p.claimed_by where s.state = 'ended'
         union all
         select format('effect %s is still %s', f.effect_no, f.state) from effect f
           join session s on s.session_id = f.session_id and s.state = 'ended'
          where f.session_id = $1
            -- The worker counts from its decision, the row from the commit a moment later.
            and (f.state in ('intended', 'accepted', 'found')
                 or f.state = 'lost' and f.dead_at > s.ended_at + interval '1 s')",
    ),
    (
        "I11: the crash budget counts take-overs without a result between",
        "select format('%s take-overs, epoch %s', takeovers, epoch) from session_lease
          where session_id = $1 and takeovers > epoch - 1",
    ),
];

/// Everything that does not hold for a session that ran on the simulated machine since `since`. Empty: all is well.
pub async fn violations(app: &App, session: SessionId, since: Timestamp) -> Vec<String> {
    violations_of(app, &[session], since).await
}

/// The same for sessions that ran one after the other or at once, on the same nodes or not.
pub async fn violations_of(app: &App, sessions: &[SessionId], since: Timestamp) -> Vec<String> {
    let mut found = Vec::new();
    for session in sessions {
        let mut connection = db::acquire(&app.database.pool).await.unwrap();
        found.extend(kept(&mut connection, *session).await);
        drop(connection);
        found.extend(replayed(app, *session).await);
    }
    found.extend(acted(app, sessions, since).await);
    found
}

/// What the database says against itself.
pub async fn kept(connection: &mut db::Connection, session: SessionId) -> Vec<String> {
    let mut found = Vec::new();
    for (name, question) in QUESTIONS {
        let alone = question.starts_with("select");
        let text = if alone { question.to_owned() } else { format!("{STANDING} {question}") };
        let rows: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(text))
            .bind(session.0)
            .fetch_all(&mut *connection)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        found.extend(rows.into_iter().take(3).map(|row| format!("{name}: {row}")));
    }
    found
}

/// I12: a worker that read the past from empty would count the same.
async fn replayed(app: &App, session: SessionId) -> Vec<String> {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    let memory = engine::memory::load(&mut connection, &session).await.unwrap();
    let flow = Flow::new(memory.plan.clone(), &memory.past, Pace::default());
    let steps = db::step::list(&mut connection, &session).await.unwrap();
    let pairs = steps.into_iter().zip(flow.counters());
    pairs
        .filter(|(step, folded)| step.counters != *folded)
        .map(|(step, folded)| format!("I12: {} is {:?}, replayed it is {folded:?}", step.name, step.counters))
        .collect()
}

#[derive(Deserialize)]
struct Transition {
    #[serde(rename = "transitionID")]
    id: String,
    operation: String,
    #[serde(rename = "createTime")]
    created: Timestamp,
}

#[derive(Deserialize)]
struct Transitions {
    transitions: Vec<Transition>,
}

#[derive(Debug)]
struct Effect {
    verb: String,
    rung: String,
    reference: Option<String>,
    /// Nobody was told that it was taken, and it need not have been looked for: one that was lost and then proved
    /// superfluous; or its worker died before the answer, and other evidence had judged all it covered.
    is_unfound: bool,
    intended_at: Timestamp,
    dead_at: Timestamp,
    xnames: Vec<String>,
}

/// I8: what the machine saw was intended before, and begun before it was taken for dead; and what the nodes went through.
async fn acted(app: &App, sessions: &[SessionId], since: Timestamp) -> Vec<String> {
    let mut effects = Vec::new();
    for session in sessions {
        effects.extend(effects_of(app, *session).await);
    }
    let mut found = Vec::new();
    let url = format!("{}/transitions", app.machine.url());
    let answer = reqwest::get(url).await.unwrap().bytes().await.unwrap();
    let transitions: Transitions = serde_json::from_slice(&answer).unwrap();
    let mut effect_of: BTreeMap<&str, &Effect> = BTreeMap::new();
    for transition in transitions.transitions.iter().filter(|transition| transition.created >= since) {
        let within = |effect: &Effect| {
            effect.intended_at <= transition.created + CLOCK_ERROR && transition.created <= effect.dead_at
        };
        let unfound =
            |effect: &Effect| effect.is_unfound && effect.rung == transition.operation && within(effect);
        let named: Vec<&Effect> =
            effects.iter().filter(|effect| effect.reference.as_ref() == Some(&transition.id)).collect();
        match (named.as_slice(), effects.iter().find(|effect| unfound(effect))) {
            ([effect], _) if within(effect) => drop(effect_of.insert(&transition.id, effect)),
            ([effect], _) => found.push(format!(
                "I8: transition {} was taken at {}, intended at {} and dead at {}",
                transition.id, transition.created, effect.intended_at, effect.dead_at
            )),
            ([], Some(effect)) => drop(effect_of.insert(&transition.id, effect)),
            (several, _) => found.push(format!(
                "I8: transition {} ({}, {}) is the effect of {} effects; of its rung there are {:?}",
                transition.id,
                transition.operation,
                transition.created,
                several.len(),
                effects.iter().filter(|effect| effect.rung == transition.operation).collect::<Vec<_>>()
            )),
        }
    }
    for action in app.machine.power_log().iter().filter(|action| moment(&action.at) >= since) {
        let covered = effect_of.get(action.transition.as_str()).is_some_and(|effect| {
            effect.rung == action.via && effect.xnames.binary_search(&action.xname).is_ok()
        });
        if !covered {
            found.push(format!("I8: {} of {} has no effect", action.via, action.xname));
        }
    }
    found.extend(calls_without_intent(app, &effects, since));
    found.truncate(10);
    found
}

/// Every write but PCS' (judged one by one above) has an intent of its own, written before it came in.
fn calls_without_intent(app: &App, effects: &[Effect], since: Timestamp) -> Vec<String> {
    let requests = app.machine.requests();
    let mut found = Vec::new();
    for (verb, method, path) in [
        ("set_boot_parameters", "PUT", "/boot/v1/bootparameters"),
        ("stage_configuration", "PATCH", "/v3/components"),
        ("tag_image", "PATCH", "/v3/images"),
    ] {
        let mut intents: Vec<Timestamp> =
            effects.iter().filter(|effect| effect.verb == verb).map(|effect| effect.intended_at).collect();
        intents.sort_unstable();
        let calls =
            requests.iter().filter(|request| request.method == method && request.path.starts_with(path));
        for (nth, at) in calls.map(|call| moment(&call.at)).filter(|at| *at >= since).enumerate() {
            if intents.get(nth).is_none_or(|intended| *intended > at + CLOCK_ERROR) {
                found
                    .push(format!("I8: call {} of {verb}, answered at {at}, has no earlier intent", nth + 1));
            }
        }
    }
    found
}

async fn effects_of(app: &App, session: SessionId) -> Vec<Effect> {
    let mut connection = db::acquire(&app.database.pool).await.unwrap();
    type Row = (String, String, Option<String>, bool, Timestamp, Timestamp, Vec<String>);
    let rows: Vec<Row> = sqlx::query_as(
        "select f.verb, f.rung_name, f.remote_ref,
                f.remote_ref is null and (f.lost_at is not null or f.state = 'settled'), f.intended_at, f.dead_at,
                array_agg(c.xname order by c.xname collate \"C\")
           from effect f join component c on c.component_id = any (f.component_ids)
          where f.session_id = $1 group by f.session_id, f.effect_no",
    )
    .bind(session.0)
    .fetch_all(&mut *connection)
    .await
    .unwrap();
    rows.into_iter()
        .map(|(verb, rung, reference, is_unfound, intended_at, dead_at, xnames)| Effect {
            verb,
            rung,
            reference,
            is_unfound,
            intended_at,
            dead_at,
            xnames,
        })
        .collect()
}

/// Changes of power since `since`, by node.
pub fn edges(app: &App, since: Timestamp) -> BTreeMap<String, Vec<&'static str>> {
    let new = |edges: Vec<bosun::sim::EdgeEntry>| {
        edges.into_iter().filter(|edge| moment(&edge.at) >= since).map(|edge| edge.power).collect()
    };
    app.machine.edges().into_iter().map(|(xname, edges)| (xname, new(edges))).collect()
}

/// The simulator's words for a moment.
pub fn moment(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}
