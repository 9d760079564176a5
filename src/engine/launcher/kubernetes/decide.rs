//! What is to be done, from what is there. Pure: the tests below are the table.

use std::{collections::BTreeMap, time::Duration};

use chrono::TimeDelta;

use crate::{
    clients::kubernetes::{Job, JobState, Pod, PodState, Seen},
    db::{lease::FailedLaunch, session::Needed},
    engine::BUDGET_SPENT,
    model::{Timestamp, session::SessionId},
};

/// First and longest pause after a launch that ended and left its session in need of the next one.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Launches that ended longer ago than that do not lengthen the pause.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// How long after its time a finished Job is left to Kubernetes' own tidying.
const TIDYING: Duration = Duration::from_secs(120);
/// Exit codes that are no deaths: no worker is needed, and a planned stop.
const PLANNED: [i32; 2] = [0, 75];
/// Characters of a dead worker's last words that go into a reason.
const WORDS_MAX: usize = 300;

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Doing {
    /// Launches to be made, in order.
    pub create: Vec<Launch>,
    /// Finished Jobs that Kubernetes should have removed and has not: below 1.23 it does not by default.
    pub delete: Vec<String>,
    /// Launches that were given up and are not counted yet.
    pub count: Vec<FailedLaunch>,
    /// Sessions whose crash budget is spent.
    pub park: Vec<SessionId>,
}

/// A Job to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    /// Whose.
    pub needed: Needed,
    /// Its number.
    pub launch: u32,
}

/// Decides. `needed`: the sessions that need a worker and whose lease nobody holds, in the order they are served.
/// `keep`: how long a finished Job is kept; `None`: for ever.
pub fn decide(
    seen: &Seen,
    needed: &[Needed],
    running_max: usize,
    prefix: &str,
    keep: Option<Duration>,
    now: Timestamp,
) -> Doing {
    let mut doing = Doing { delete: overdue(&seen.jobs, keep, now), ..Doing::default() };
    let jobs = by_session(&seen.jobs);
    let mut running = seen.jobs.iter().filter(|job| is_live(job)).count();
    for needed in needed {
        let session = needed.session;
        let of_session = jobs.get(&session).map_or(&[][..], Vec::as_slice);
        if let Some(failed) = uncounted(needed, of_session, &seen.pods, prefix) {
            // It may have spent the budget: the next look decides. It was begun, so nobody takes its place.
            doing.count.push(failed);
            running += 1;
        } else if needed.budget_spent {
            // Before its Job starts one more pod; that one finds that nothing is to be done.
            doing.park.push(session);
        } else if of_session.iter().any(|job| is_live(job)) {
            // The Job controller starts its pod, again if need be.
        } else if running < running_max || needed.hands_over {
            // Also while it rests: those behind it do not begin before it goes on.
            running += 1;
            if !rests(of_session, now) {
                let launch = last_launch(needed, of_session, &seen.pods) + 1;
                doing.create.push(Launch { needed: needed.clone(), launch });
            }
        }
    }
    doing
}

/// Whether a Job has a worker or will have one. One that somebody deleted will not.
fn is_live(job: &Job) -> bool {
    job.state == JobState::Active && !job.deleting
}

fn by_session(jobs: &[Job]) -> BTreeMap<SessionId, Vec<&Job>> {
    let mut sessions: BTreeMap<SessionId, Vec<&Job>> = BTreeMap::new();
    for job in jobs {
        sessions.entry(job.session).or_default().push(job);
    }
    sessions
}

/// The names of Jobs in sight are taken; so are the numbers up to one that was counted as given up.
fn last_launch(needed: &Needed, jobs: &[&Job], pods: &[Pod]) -> u32 {
    let of_jobs = jobs.iter().map(|job| job.launch);
    let of_pods = pods.iter().filter(|pod| pod.session == needed.session).map(|pod| pod.launch);
    of_jobs.chain(of_pods).max().unwrap_or(0).max(needed.last_failed_launch)
}

/// The launches that were given up since they were last counted, as one.
fn uncounted(needed: &Needed, jobs: &[&Job], pods: &[Pod], prefix: &str) -> Option<FailedLaunch> {
    let is_new =
        |job: &&&Job| matches!(job.state, JobState::Failed { .. }) && job.launch > needed.last_failed_launch;
    let new: Vec<&&Job> = jobs.iter().filter(is_new).collect();
    let last = new.iter().max_by_key(|job| job.launch)?;
    let deaths = new.iter().map(|job| deaths(job, pods)).sum();
    let session = needed.session;
    let workers = format!("{prefix}-{session}-{}-", last.launch);
    Some(FailedLaunch { session, launch: last.launch, workers, deaths })
}

/// How many of a Job's pods died; planned stops cost nothing. Where the pods are gone the Job controller's own count,
/// which does not tell the two apart, has to do.
fn deaths(job: &Job, pods: &[Pod]) -> u32 {
    let codes = pods.iter().filter(|pod| pod.session == job.session && pod.launch == job.launch);
    let codes: Vec<i32> = codes
        .filter_map(|pod| if let PodState::Ended { code, .. } = pod.state { Some(code) } else { None })
        .collect();
    if codes.is_empty() {
        return job.failed_pods.max(1);
    }
    let died = codes.iter().filter(|code| !PLANNED.contains(code)).count();
    u32::try_from(died).unwrap_or(u32::MAX)
}

/// Whether a session has to wait: its launches end again and again and it still needs one.
fn rests(jobs: &[&Job], now: Timestamp) -> bool {
    let since = |job: &&Job| {
        let at = finished_at(job.state)?;
        Some((now - at).max(TimeDelta::zero()).to_std().unwrap_or_default())
    };
    let ages: Vec<Duration> = jobs.iter().filter_map(since).filter(|age| *age < REMEMBERED).collect();
    let Some(youngest) = ages.iter().min() else { return false };
    let times = u32::try_from(ages.len() - 1).unwrap_or(u32::MAX).min(10);
    *youngest < BACKOFF.0.saturating_mul(1 << times).min(BACKOFF.1)
}

fn finished_at(state: JobState) -> Option<Timestamp> {
    match state {
        JobState::Active => None,
        JobState::Complete { at } | JobState::Failed { at } => at,
    }
}

fn overdue(jobs: &[Job], keep: Option<Duration>, now: Timestamp) -> Vec<String> {
    let Some(keep) = keep else { return Vec::new() };
    let is_overdue = |job: &&Job| {
        finished_at(job.state).is_some_and(|at| (now - at).to_std().is_ok_and(|age| age > keep + TIDYING))
    };
    let overdue = jobs.iter().filter(|job| !job.deleting).filter(is_overdue);
    overdue.map(|job| job.name.clone()).collect()
}

/// Why a session whose budget is spent is stuck, with the last words of the worker that died last.
pub fn why_stuck(session: SessionId, pods: &[Pod]) -> String {
    let dead = pods.iter().filter(|pod| pod.session == session).filter_map(|pod| match &pod.state {
        PodState::Ended { code, words } if !PLANNED.contains(code) => Some((pod, *code, words)),
        _ => None,
    });
    match dead.max_by_key(|(pod, ..)| (pod.launch, pod.created_at)) {
        Some((pod, code, words)) => match last_words(words) {
            Some(words) => format!("{BUDGET_SPENT}; {} ended with {code} and said last: {words}", pod.name),
            None => format!("{BUDGET_SPENT}; {} ended with {code} and said nothing", pod.name),
        },
        None => BUDGET_SPENT.to_owned(),
    }
}

/// The last line of a log; of a JSON line, what it says.
fn last_words(log: &str) -> Option<String> {
    let line = log.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    let words = match serde_json::from_str::<serde_json::Value>(line) {
        Ok(json) => {
            let part = |key: &str| json.get(key).and_then(|value| value.as_str()).map(str::to_owned);
            let parts: Vec<String> = ["message", "error"].into_iter().filter_map(part).collect();
            if parts.is_empty() { line.to_owned() } else { parts.join(": ") }
        }
        Err(_) => line.to_owned(),
    };
    Some(words.chars().take(WORDS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &str = "bosun-worker";

    fn now() -> Timestamp {
        "2026-11-22T12:00:00Z".parse().expect("a time")
    }

    fn ago(seconds: i64) -> Option<Timestamp> {
        Some(now() - TimeDelta::seconds(seconds))
    }

    fn needs(session: i64) -> Needed {
        Needed {
            session: SessionId(session),
            name: format!("s{session}"),
            tenant: String::new(),
            operation: "reboot".to_owned(),
            epoch: 0,
            last_failed_launch: 0,
            budget_spent: false,
            hands_over: false,
        }
    }

    fn job(session: i64, launch: u32, state: JobState) -> Job {
        let name = format!("{PREFIX}-{session}-{launch}");
        Job { name, session: SessionId(session), launch, state, deleting: false, failed_pods: 0 }
    }

    fn ended(session: i64, launch: u32, no: i64, code: i32, words: &str) -> Pod {
        let state = PodState::Ended { code, words: words.to_owned() };
        let name = format!("{PREFIX}-{session}-{launch}-{no}");
        Pod { name, session: SessionId(session), launch, created_at: ago(100 - no), state }
    }

    fn decided(jobs: Vec<Job>, pods: Vec<Pod>, needed: &[Needed]) -> Doing {
        decide(&Seen { jobs, pods }, needed, 2, PREFIX, Some(Duration::from_secs(3600)), now())
    }

    /// The sessions and numbers of the launches to be made.
    fn launches(doing: &Doing) -> Vec<(i64, u32)> {
        doing.create.iter().map(|launch| (launch.needed.session.0, launch.launch)).collect()
    }

    /// What is tried, the Jobs that are there, what needs a worker, and the launches that follow.
    type Case = (&'static str, Vec<Job>, Vec<Needed>, Vec<(i64, u32)>);

    #[test]
    fn what_needs_a_worker_and_has_none_gets_one() {
        use JobState::{Active, Complete, Failed};
        let deleted = |session, launch| Job { deleting: true, ..job(session, launch, Active) };
        let counted = Needed { last_failed_launch: 4, ..needs(1) };
        let table: Vec<Case> = vec![
            ("nothing", vec![], vec![], vec![]),
            ("a first one", vec![], vec![needs(1)], vec![(1, 1)]),
            ("it is on its way", vec![job(1, 1, Active)], vec![needs(1)], vec![]),
            ("another one's does not count", vec![job(2, 1, Active)], vec![needs(1)], vec![(1, 1)]),
            ("it was deleted and is gone", vec![], vec![needs(1)], vec![(1, 1)]),
            ("it is being deleted", vec![deleted(1, 1)], vec![needs(1)], vec![(1, 2)]),
            (
                "it is through and needed again",
                vec![job(1, 1, Complete { at: ago(5) })],
                vec![needs(1)],
                vec![(1, 2)],
            ),
            ("it has only just ended", vec![job(1, 1, Complete { at: ago(0) })], vec![needs(1)], vec![]),
            ("nobody needs it any more", vec![job(1, 1, Complete { at: ago(5) })], vec![], vec![]),
            ("numbers that were counted are not used again", vec![], vec![counted.clone()], vec![(1, 5)]),
            ("given up, and counted", vec![job(1, 4, Failed { at: ago(9) })], vec![counted], vec![(1, 5)]),
            ("the rest wait in order", vec![], vec![needs(1), needs(2), needs(3)], vec![(1, 1), (2, 1)]),
            (
                "who rests keeps its place",
                vec![job(9, 1, Active), job(1, 1, Complete { at: ago(0) })],
                vec![needs(1), needs(2)],
                vec![],
            ),
            ("those that run count", vec![job(9, 1, Active), job(8, 1, Active)], vec![needs(1)], vec![]),
            (
                "those that ended do not",
                vec![job(9, 1, Complete { at: ago(9) }), job(8, 1, Active)],
                vec![needs(1)],
                vec![(1, 1)],
            ),
        ];
        for (what, jobs, needed, expected) in table {
            let doing = decided(jobs, vec![], &needed);
            assert_eq!(launches(&doing), expected, "{what}");
            assert_eq!((doing.park, doing.count, doing.delete), Default::default(), "{what}");
        }
    }

    #[test]
    fn a_pod_left_of_a_deleted_job_keeps_its_number() {
        let doing = decided(vec![], vec![ended(1, 3, 1, 75, "")], &[needs(1)]);
        assert_eq!(launches(&doing), [(1, 4)]);
    }

    #[test]
    fn launches_that_end_and_end_are_made_more_slowly() {
        let finished = |ages: &[i64]| {
            let jobs = ages.iter().zip(1..).map(|(age, n)| job(1, n, JobState::Complete { at: ago(*age) }));
            !launches(&decided(jobs.collect(), vec![], &[needs(1)])).is_empty()
        };
        assert!(!finished(&[0]) && finished(&[1]));
        assert!(!finished(&[30, 20, 3]) && finished(&[30, 20, 4]));
        assert!(!finished(&[90, 80, 75, 71, 69, 66, 64, 59]) && finished(&[90, 80, 75, 71, 69, 66, 64, 60]));
        // What ended long ago is forgotten; a clock that is behind does not hold anybody up for long.
        assert!(finished(&[900, 800, 700, 1]));
        assert!(!finished(&[-5]) && finished(&[]));
    }

    #[test]
    fn a_launch_that_was_given_up_is_counted_before_the_next() {
        let failed = Job { failed_pods: 3, ..job(1, 2, JobState::Failed { at: ago(60) }) };
        let pods = vec![ended(1, 2, 1, 1, ""), ended(1, 2, 2, 75, ""), ended(1, 2, 3, 137, "")];
        let count = |deaths| FailedLaunch {
            session: SessionId(1),
            launch: 2,
            workers: "bosun-worker-1-2-".to_owned(),
            deaths,
        };
        let doing = decided(vec![failed.clone()], pods, &[needs(1)]);
        assert_eq!((launches(&doing), &doing.count[..]), (vec![], &[count(2)][..]), "75 costs nothing");
        let doing = decided(vec![failed.clone()], vec![], &[needs(1)]);
        assert_eq!(doing.count, [count(3)], "the pods are gone");
        let counted = Needed { last_failed_launch: 2, ..needs(1) };
        let doing = decided(vec![failed], vec![], &[counted]);
        assert_eq!((launches(&doing), doing.count.len()), (vec![(1, 3)], 0));
    }

    #[test]
    fn a_spent_budget_parks_with_the_last_words() {
        let spent = Needed { budget_spent: true, ..needs(1) };
        let doing = decided(vec![], vec![], std::slice::from_ref(&spent));
        assert_eq!((launches(&doing), doing.park), (vec![], vec![SessionId(1)]));
        let doing = decided(vec![job(1, 1, JobState::Active)], vec![], &[spent]);
        assert_eq!(
            (launches(&doing), doing.park),
            (vec![], vec![SessionId(1)]),
            "no further pod is waited for"
        );
        let json = r#"{"level":"ERROR","message":"session 1 was left","error":"no route"}"#;
        let pods = [
            ended(1, 1, 1, 1, "bosun: older"),
            ended(1, 1, 3, 1, &format!("first\n{json}\n\n")),
            ended(1, 1, 4, 75, "stopped"),
            ended(2, 9, 4, 1, "another session's"),
        ];
        let why = why_stuck(SessionId(1), &pods);
        assert!(why.starts_with(BUDGET_SPENT));
        assert!(
            why.ends_with("; bosun-worker-1-1-3 ended with 1 and said last: session 1 was left: no route")
        );
        assert!(why_stuck(SessionId(1), &pods[..1]).ends_with("said last: bosun: older"));
        assert_eq!(why_stuck(SessionId(7), &pods), BUDGET_SPENT);
    }

    #[test]
    fn finished_jobs_are_removed_where_kubernetes_does_not() {
        let jobs = vec![
            job(1, 1, JobState::Complete { at: ago(3600 + 121) }),
            job(1, 2, JobState::Failed { at: ago(3600 + 119) }),
            job(1, 3, JobState::Active),
            Job { deleting: true, ..job(1, 4, JobState::Complete { at: ago(9999) }) },
        ];
        assert_eq!(decided(jobs.clone(), vec![], &[]).delete, ["bosun-worker-1-1"]);
        let doing = decide(&Seen { jobs, pods: vec![] }, &[], 2, PREFIX, None, now());
        assert_eq!(doing.delete, Vec::<String>::new());
    }
}
